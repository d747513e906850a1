# Runs cases of gRPC's own interop client, Debian's copy of which it is given, against a server on
# loopback, and prints a line for each: "CASE passed" or "CASE failed: WHY". Without cases it lists
# those that the client has.
#
#   ruby ruby_cases.rb CLIENT.RB PORT [CASE...]
client, port, *cases = ARGV
$stdout.sync = true

# Not as the main program, so that it defines its cases and runs none.
load client
# What a case provokes on purpose is no news.
RubyLogger::LOGGER.level = Logger::FATAL

def run_case(port, name)
  args = Args.new
  args.server_host = '127.0.0.1'
  args.server_port = port
  args.server_host_override = ''
  args.secure = false
  args.test_case = name
  NamedTests.new(create_stub(args), args).public_send(name)
  'passed'
rescue Exception => e
  "failed: #{e.class}: #{e.message.lines.first}"
end

if cases.empty?
  puts NamedTests.instance_methods(false).map(&:to_s) - ['all']
else
  cases.each { |name| puts "#{name} #{run_case(port, name)}" }
end
