// journal: a durable log in C++17.
//
// Files, each a row of blocks; a block is whole or it does not count, so a batch is all or nothing.
//
//    log-S    the batches after sequence S, one block each, up to where the next log begins
//    base     one block: all data at the sequence of a checkpoint
//
// A checkpoint first begins a new log, then writes the view as a new base, and then removes the
// logs whose successor begins at or below the sequence of the view. Only the sequence decides: a view
// may lack batches whose on_write has returned, however many checkpoints have passed.
// Loading takes the base and then all logs in order, and passes over what the base has already.
//
// Exceptions end at the hooks: none may cross the boundary. `guarded` turns them into codes.
#include <kvstore/plugin.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace
{

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

struct Failure {
   int code;
   std::string text;
};

[[noreturn]] void fail_errno(const fs::path &path)
{
   const int reason = errno;
   throw Failure{reason == ENOSPC || reason == EDQUOT ? KVS_NO_SPACE : KVS_IO,
                 path.string() + ": " + std::strerror(reason)};
}

template <typename Work> int guarded(kvs_error *error, Work work) noexcept
{
   int code = KVS_IO;
   std::string text;
   try {
      work();
      return KVS_OK;
   } catch (const Failure &failure) {
      code = failure.code;
      text = failure.text;
   } catch (const std::bad_alloc &) {
      code = KVS_NO_SPACE;
      text = "no memory";
   } catch (const std::exception &exception) {
      text = exception.what();
   }
   std::strncpy(error->text, text.c_str(), sizeof error->text - 1);
   error->text[sizeof error->text - 1] = '\0';
   return code;
}

// ---- Files -------------------------------------------------------------------------------------

class File
{
 public:
   File(fs::path path, int flags) : path_(std::move(path))
   {
      fd_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0600);
      if (fd_ < 0)
         fail_errno(path_);
   }
   ~File()
   {
      ::close(fd_);
   }
   File(const File &) = delete;
   File &operator=(const File &) = delete;

   const fs::path &path() const
   {
      return path_;
   }
   void write_at(std::size_t offset, const Bytes &bytes)
   {
      for (std::size_t done = 0; done < bytes.size();) {
         const ssize_t count = ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                                        static_cast<off_t>(offset + done));
         if (count < 0 && errno != EINTR)
            fail_errno(path_);
         done += count > 0 ? static_cast<std::size_t>(count) : 0;
      }
   }
   void truncate(std::size_t size)
   {
      if (::ftruncate(fd_, static_cast<off_t>(size)) != 0)
         fail_errno(path_);
   }
   void sync()
   {
      if (::fdatasync(fd_) != 0) { // never KVS_NO_SPACE: what the disk has is unknown now
         const std::string reason = std::strerror(errno);
         throw Failure{KVS_IO, path_.string() + ": " + reason};
      }
   }
   Bytes read() const
   {
      Bytes bytes(fs::file_size(path_));
      for (std::size_t done = 0; done < bytes.size();) {
         const ssize_t count =
             ::pread(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
         if (count <= 0)
            fail_errno(path_);
         done += static_cast<std::size_t>(count);
      }
      return bytes;
   }

 private:
   fs::path path_;
   int fd_;
};

void sync_directory(const fs::path &path)
{
   File(path, O_RDONLY | O_DIRECTORY).sync();
}

// ---- Blocks ------------------------------------------------------------------------------------

struct Head { // of a block
   std::uint8_t store_id[16];
   std::uint64_t sequence, size, checksum;
};

struct Entry { // of a record; key and value follow
   std::uint64_t sequence;
   std::int64_t expires_at_ms;
   std::uint64_t key_size, value_size;
   std::uint32_t kind, flags;
};

std::uint64_t checksum(const std::uint8_t *data, std::size_t size)
{
   std::uint64_t sum = 14695981039346656037u;
   for (std::size_t i = 0; i < size; i++)
      sum = (sum ^ data[i]) * 1099511628211u;
   return sum;
}

void append(Bytes &bytes, const void *data, std::size_t size)
{
   const auto *begin = static_cast<const std::uint8_t *>(data);
   bytes.insert(bytes.end(), begin, begin + size);
}

class Block
{
 public:
   Block() : bytes_(sizeof(Head))
   {
   }

   void add(const kvs_record &record)
   {
      const Entry entry{record.sequence, record.expires_at_ms, record.key.size, record.value.size,
                        record.kind, record.flags};
      append(bytes_, &entry, sizeof entry);
      append(bytes_, record.key.data, record.key.size);
      append(bytes_, record.value.data, record.value.size);
   }
   const Bytes &finish(const std::uint8_t (&store_id)[16], std::uint64_t sequence)
   {
      Head head{};
      std::memcpy(head.store_id, store_id, sizeof head.store_id);
      head.sequence = sequence;
      head.size = bytes_.size() - sizeof head;
      head.checksum = checksum(bytes_.data() + sizeof head, head.size);
      std::memcpy(bytes_.data(), &head, sizeof head);
      return bytes_;
   }

 private:
   Bytes bytes_;
};

// ---- The journal -------------------------------------------------------------------------------

class Journal
{
 public:
   explicit Journal(const kvs_host *host) : host_(host), directory_(host->directory)
   {
   }

   void load()
   {
      std::uint64_t base = 0, sequence = 0;
      if (fs::exists(directory_ / "base")) {
         const File file(directory_ / "base", O_RDONLY);
         const Bytes bytes = file.read();
         if (load_blocks(file, bytes, 0, base) != bytes.size() || bytes.empty())
            throw Failure{KVS_CORRUPT,
                          file.path().string() + ": damaged at offset 0; restore it from a backup"};
      }
      begin_history(base);
      sequence = base;
      const std::vector<std::uint64_t> logs = find_logs();
      for (const std::uint64_t start : logs) {
         const File file(log_path(start), O_RDONLY);
         end_ = load_blocks(file, file.read(), base, sequence);
      }
      log_ = begin_log(logs.empty() ? base : logs.back());
      log_->truncate(end_); // an unfinished batch was never acknowledged
      sequence_ = sequence;
      if (sequence > 0)
         host_->loaded_to(host_, sequence);
   }

   void write(const kvs_record *records, std::size_t count)
   {
      Block block;
      std::for_each(records, records + count, [&](const kvs_record &record) { block.add(record); });
      const std::uint64_t sequence = records[count - 1].sequence;
      const Bytes &bytes = block.finish(host_->store_id, sequence);
      const std::lock_guard<std::mutex> guard(lock_);
      log_->write_at(end_, bytes); // half a block does not count, and is written over
      log_->sync();
      end_ += bytes.size();
      sequence_ = sequence;
   }

   void checkpoint(const kvs_tick &tick)
   {
      rotate();
      Block block;
      kvs_record record;
      while (host_->view_read(tick.view, &record, 1) == 1)
         block.add(record);
      {
         File file(directory_ / "base.new", O_WRONLY | O_CREAT | O_TRUNC);
         file.write_at(0, block.finish(host_->store_id, tick.view_sequence));
         file.sync();
      }
      fs::rename(directory_ / "base.new", directory_ / "base");
      sync_directory(directory_);
      remove_logs(tick.view_sequence);
      if (host_->size >= offsetof(kvs_host, saved) + sizeof host_->saved)
         host_->saved(host_, tick.view_sequence);
   }

 private:
   fs::path log_path(std::uint64_t start) const
   {
      return directory_ / ("log-" + std::to_string(start));
   }

   std::vector<std::uint64_t> find_logs() const
   {
      std::vector<std::uint64_t> starts;
      for (const fs::directory_entry &entry : fs::directory_iterator(directory_)) {
         const std::string name = entry.path().filename().string();
         if (name.rfind("log-", 0) == 0 && name.size() < 24 &&
             name.find_first_not_of("0123456789", 4) == std::string::npos && name.size() > 4)
            starts.push_back(std::stoull(name.substr(4)));
      }
      std::sort(starts.begin(), starts.end());
      return starts;
   }

   std::unique_ptr<File> begin_log(std::uint64_t start) const
   {
      auto file = std::make_unique<File>(log_path(start), O_RDWR | O_CREAT);
      sync_directory(directory_);
      return file;
   }

   // An empty log goes on: a new one would have its name.
   void rotate()
   {
      const std::lock_guard<std::mutex> guard(lock_);
      if (end_ == 0)
         return;
      log_ = begin_log(sequence_);
      end_ = 0;
   }

   // What is loaded from here on is each change of the data, one after the other.
   void begin_history(std::uint64_t base) const
   {
      const auto *history =
          static_cast<const kvs_history *>(host_->extension(host_, KVS_EXTENSION_HISTORY));
      if (history)
         history->complete_above(history, base);
   }

   // All batches of a log are at or below the start of the next one.
   void remove_logs(std::uint64_t covered) const
   {
      const std::vector<std::uint64_t> logs = find_logs();
      for (std::size_t i = 0; i + 1 < logs.size() && logs[i + 1] <= covered; i++)
         fs::remove(log_path(logs[i]));
   }

   // Hands over all whole blocks and returns where they end.
   std::size_t load_blocks(const File &file, const Bytes &bytes, std::uint64_t after,
                           std::uint64_t &sequence) const
   {
      std::size_t at = 0;
      Head head;
      while (bytes.size() - at >= sizeof head) {
         std::memcpy(&head, bytes.data() + at, sizeof head);
         const std::uint8_t *data = bytes.data() + at + sizeof head;
         if (head.size > bytes.size() - at - sizeof head ||
             head.checksum != checksum(data, head.size))
            break;
         if (std::memcmp(head.store_id, host_->store_id, sizeof head.store_id) != 0)
            throw Failure{KVS_INVALID, file.path().string() + " is of another store"};
         load_records(data, head.size, after);
         sequence = std::max(sequence, head.sequence);
         at += sizeof head + head.size;
      }
      return at;
   }

   void load_records(const std::uint8_t *data, std::size_t size, std::uint64_t after) const
   {
      Entry entry;
      for (const std::uint8_t *end = data + size; data < end;
           data += entry.key_size + entry.value_size) {
         std::memcpy(&entry, data, sizeof entry);
         data += sizeof entry;
         kvs_record record{};
         record.sequence = entry.sequence;
         record.kind = entry.kind;
         record.flags = entry.flags;
         record.expires_at_ms = entry.expires_at_ms;
         record.key = {data, entry.key_size};
         record.value = {data + entry.key_size, entry.value_size};
         kvs_error error{};
         if (entry.sequence <= after)
            continue;
         if (const int code = host_->load(host_, &record, 1, &error); code != KVS_OK)
            throw Failure{code, error.text};
      }
   }

   const kvs_host *host_;
   fs::path directory_;
   std::mutex lock_; // the log, between on_write and on_tick
   std::unique_ptr<File> log_;
   std::size_t end_ = 0;        // of what was acknowledged in it
   std::uint64_t sequence_ = 0; // of the last batch that was
};

// ---- Hooks -------------------------------------------------------------------------------------

int open_journal(const kvs_host *host, const kvs_setting *, std::size_t, void **self,
                 kvs_error *error)
{
   return guarded(error, [&] { *self = new Journal(host); });
}

int load_journal(void *self, kvs_error *error)
{
   return guarded(error, [&] { static_cast<Journal *>(self)->load(); });
}

int write_journal(void *self, const kvs_record *records, std::size_t count, std::uint32_t,
                  kvs_error *error)
{
   return guarded(error, [&] { static_cast<Journal *>(self)->write(records, count); });
}

int tick_journal(void *self, const kvs_tick *tick, kvs_error *error)
{
   if (tick->reason == KVS_TICK_PERIODIC)
      return KVS_OK;
   return guarded(error, [&] { static_cast<Journal *>(self)->checkpoint(*tick); });
}

void close_journal(void *self)
{
   delete static_cast<Journal *>(self);
}

} // namespace

// Exported by its declaration in the header.
const kvs_plugin kvstore_plugin = {
    sizeof(kvs_plugin),
    KVS_ABI_MAJOR,
    KVS_ABI_MINOR,
    "journal",
    "1.0",
    "Logs each batch to a file; a checkpoint begins a new one",
    KVS_DURABLE,
    KVS_PLUGIN_VERSIONS,
    nullptr, // options
    0,
    open_journal,
    load_journal,
    write_journal,
    tick_journal,
    close_journal,
};
