// A client on npm's gRPC, as a program that knows only the .proto files would write it. Calls
// everything once and checks the answers; exits 0 when all are right.
//
//   node client.js ADDRESS PROTO_FOLDER [AUTHORITY CERTIFICATE KEY TOKEN]
//
// With the files of an authority, a certificate and its key, and a token: with TLS, showing both.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const [address, folder, ...secure] = process.argv.slice(2);
const options = {keepCase: true, longs: String, enums: String, defaults: true, oneofs: true};

function load(name) {
   const definition = loader.loadSync(path.join(folder, name),
                                      {...options, includeDirs: [folder]});
   return grpc.loadPackageDefinition(definition);
}

function credentials() {
   if (secure.length === 0)
      return grpc.credentials.createInsecure();
   const [authority, certificate, key] = secure.slice(0, 3).map((name) => fs.readFileSync(name));
   const metadata = new grpc.Metadata();
   metadata.set('authorization', `Bearer ${secure[3]}`);
   return grpc.credentials.combineChannelCredentials(
      grpc.credentials.createSsl(authority, key, certificate),
      grpc.credentials.createFromMetadataGenerator((_, done) => done(null, metadata)));
}

function connect(Service) {
   return new Service(address, credentials());
}

function call(client, method, request) {
   return new Promise((resolve, reject) => {
      client[method](request, {deadline: Date.now() + 30000},
                     (error, answer) => (error ? reject(error) : resolve(answer)));
   });
}

function code(promise) {
   return promise.then(() => grpc.status.OK, (error) => error.code);
}

async function checkStore() {
   const client = connect(load('kvstore.proto').kvstore.KeyValueStore);
   const value = Buffer.from([0, 1, 2, 255, 0]);
   await call(client, 'Set', {key: 'from node ü', value});
   const got = await call(client, 'Get', {key: 'from node ü'});
   assert.deepEqual(got.value, value);
   assert.equal(got.found, true);
   const missing = await call(client, 'Get', {key: 'missing'});
   assert.equal(missing.value.length, 0);
   assert.equal(missing.found, false);
   assert.deepEqual((await call(client, 'Keys', {})).keys, ['from node ü']);
   for (const storage_mode of ['AOF', 'SNAPSHOT', 'HYBRID', 'NON_PERSISTENT'])
      assert.equal((await call(client, 'Config', {storage_mode})).success, true);
   assert.equal((await call(client, 'Del', {key: 'from node ü'})).success, true);
   assert.equal((await call(client, 'Del', {key: 'from node ü'})).success, false);
   assert.equal(await code(call(client, 'Set', {key: '', value})), grpc.status.INVALID_ARGUMENT);
   client.close();
}

// The ErrorInfo of a failure.
function infoOf(error) {
   const root = new protobuf.Root();
   root.resolvePath = (_, name) => path.join(folder, name);
   root.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto']);
   const [packed] = error.metadata.get('grpc-status-details-bin');
   const [detail] = root.lookupType('google.rpc.Status').decode(packed).details;
   return root.lookupType('google.rpc.ErrorInfo').decode(detail.value);
}

async function checkKeyValue() {
   const client = connect(load('kvstore/v1/key_value.proto').kvstore.v1.KeyValueService);
   const value = Buffer.from([0, 255]);
   const {version} = await call(client, 'Set', {key: 'node/ü', value, expiry: {ttl_ms: 3600000}});
   const {entry} = await call(client, 'Get', {key: 'node/ü'});
   assert.deepEqual([entry.value, entry.version], [value, version]);
   assert.ok(BigInt(entry.expire_time_ms) > BigInt(Date.now()), entry.expire_time_ms);
   const stale = call(client, 'Set', {key: 'node/ü', value, condition: {version: '1000000'}});
   const refused = await stale.then(() => assert.fail('a stale version was taken'), (error) => error);
   assert.equal(refused.code, grpc.status.FAILED_PRECONDITION);
   const {reason, metadata} = infoOf(refused);
   assert.deepEqual([reason, metadata], ['CONDITION_NOT_MET', {current_version: version}]);
   const limit = (2n ** 63n - 1n).toString();
   const sum = await call(client, 'Increment', {key: 'node/n', initial: limit, delta: '-1'});
   assert.equal(sum.value, (BigInt(limit) - 1n).toString());
   const done = await call(client, 'Transaction', {
      comparisons: [{key: 'node/ü', condition: {version}}],
      success: [{get: {key: 'node/ü'}}, {delete: {key: 'node/n'}}]});
   assert.equal(done.succeeded, true);
   assert.deepEqual(done.results.map((result) => result.kind), ['get', 'delete']);
   const keys = [];
   for await (const part of client.Scan({range: {prefix: 'node/'}, projection: 'PROJECTION_KEYS'}))
      keys.push(...part.entries.map((found) => found.key));
   assert.deepEqual(keys, ['node/ü']);
   assert.equal((await call(client, 'DeleteRange', {range: {prefix: 'node/'}})).count, '1');
   client.close();
}

async function checkHealth() {
   const client = connect(load('health.proto').grpc.health.v1.Health);
   assert.equal((await call(client, 'Check', {service: ''})).status, 'SERVING');
   assert.equal(await code(call(client, 'Check', {service: 'other'})), grpc.status.NOT_FOUND);
   await new Promise((resolve, reject) => {
      const watch = client.Watch({service: ''});
      watch.on('data', (answer) => {
         watch.cancel();
         answer.status === 'SERVING' ? resolve() : reject(new Error(answer.status));
      });
      watch.on('error', reject);  // after the cancel it finds a promise that is settled
   });
   client.close();
}

// Asks all questions on one stream; resolves with the answers.
function ask(Service, questions) {
   const client = connect(Service);
   return new Promise((resolve, reject) => {
      const answers = [];
      const stream = client.ServerReflectionInfo({deadline: Date.now() + 30000});
      stream.on('data', (answer) => answers.push(answer));
      stream.on('error', reject);
      stream.on('end', () => {
         client.close();
         resolve(answers);
      });
      questions.forEach((question) => stream.write(question));
      stream.end();
   });
}

async function checkReflection() {
   const services = [
      load('reflection.proto').grpc.reflection.v1.ServerReflection,
      load('reflection_v1alpha.proto').grpc.reflection.v1alpha.ServerReflection,
   ];
   for (const Service of services) {
      const [list, file] = await ask(Service, [
         {list_services: '*'},
         {file_containing_symbol: 'kvstore.KeyValueStore'},
      ]);
      const names = list.list_services_response.service.map((service) => service.name);
      assert.ok(names.includes('kvstore.KeyValueStore'), names.join());
      assert.ok(names.includes('grpc.health.v1.Health'), names.join());
      await checkDescribed(file.file_descriptor_response.file_descriptor_proto);
   }
}

// What was described is enough for a client that has no .proto file.
async function checkDescribed(files) {
   const encoded = files.map((file) => Buffer.concat([Buffer.from([0x0a]), varint(file.length),
                                                      file]));
   const definition = loader.loadFileDescriptorSetFromBuffer(Buffer.concat(encoded), options);
   const client = connect(grpc.loadPackageDefinition(definition).kvstore.KeyValueStore);
   await call(client, 'Set', {key: 'described', value: Buffer.from('v')});
   assert.equal((await call(client, 'Get', {key: 'described'})).value.toString(), 'v');
   assert.equal((await call(client, 'Del', {key: 'described'})).success, true);
   client.close();
}

function varint(number) {
   const bytes = [];
   for (; number > 127; number >>>= 7)
      bytes.push((number & 127) | 128);
   return Buffer.from([...bytes, number]);
}

async function main() {
   await checkStore();
   await checkKeyValue();
   await checkHealth();
   await checkReflection();
   console.log('all answers are right');
}

main().catch((error) => {
   console.error(error);
   process.exit(1);
});
