//! rusty: a durable log in Rust, without crates.
//!
//! Each batch is one block; `log-S` has those after sequence S, up to where the next log begins. A
//! block is whole or it does not count. A checkpoint begins a new log, writes the view as the one
//! block of `base`, and removes the logs whose successor begins at or below the sequence of the
//! view. Only the sequence decides: a view may lack batches whose on_write has returned, however many
//! checkpoints have passed.

mod abi;

use abi::{Bytes, Error, Host, Plugin, Record, Tick};
use std::ffi::{CStr, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{mem, ptr, slice};

/// Store's UUID, sequence, size, checksum.
const HEAD_SIZE: usize = 16 + 8 + 8 + 8;
/// Sequence, time of expiry, kind, size of the key, size of the value.
const ENTRY_SIZE: usize = 5 * 8;

struct Failure {
    code: c_int,
    text: String,
}

impl Failure {
    fn new(code: c_int, path: &Path, text: &str) -> Failure {
        Failure { code, text: format!("{}: {}", path.display(), text) }
    }
}

type Outcome<T> = Result<T, Failure>;

/// What the disk said, with the file that it said it of.
trait At<T> {
    fn at(self, path: &Path) -> Outcome<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Outcome<T> {
        const ENOSPC: i32 = 28;
        self.map_err(|error| {
            let no_space = error.raw_os_error() == Some(ENOSPC);
            Failure::new(if no_space { abi::NO_SPACE } else { abi::IO }, path, &error.to_string())
        })
    }
}

// ---- Blocks

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100000001b3)
    })
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The bytes that the host lends for the time of a hook.
fn borrowed(bytes: &Bytes) -> &[u8] {
    match bytes.size {
        0 => &[],
        size => unsafe { slice::from_raw_parts(bytes.data, size) },
    }
}

fn add(block: &mut Vec<u8>, record: &Record) {
    let (key, value) = (borrowed(&record.key), borrowed(&record.value));
    block.extend(record.sequence.to_le_bytes());
    block.extend(record.expires_at_ms.to_le_bytes());
    for part in [u64::from(record.kind), key.len() as u64, value.len() as u64] {
        block.extend(part.to_le_bytes());
    }
    block.extend(key);
    block.extend(value);
}

fn finish(block: &mut [u8], store_id: &[u8; 16], sequence: u64) {
    let (head, body) = block.split_at_mut(HEAD_SIZE);
    head[..16].copy_from_slice(store_id);
    for (at, part) in [(16, sequence), (24, body.len() as u64), (32, checksum(body))] {
        head[at..at + 8].copy_from_slice(&part.to_le_bytes());
    }
}

// ---- The journal

struct Log {
    file: File,
    path: PathBuf,
    /// Of what was acknowledged in it.
    end: u64,
    /// Of the last batch that was.
    sequence: u64,
}

struct Journal {
    host: *const Host,
    directory: PathBuf,
    /// None before on_load. Shared by on_write and on_tick.
    log: Mutex<Option<Log>>,
}

impl Journal {
    fn host(&self) -> &Host {
        unsafe { &*self.host }
    }

    fn log_path(&self, start: u64) -> PathBuf {
        self.directory.join(format!("log-{start}"))
    }

    fn logs(&self) -> Outcome<Vec<u64>> {
        let mut starts = Vec::new();
        for entry in fs::read_dir(&self.directory).at(&self.directory)? {
            let name = entry.at(&self.directory)?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix("log-"));
            starts.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        starts.sort_unstable();
        Ok(starts)
    }

    fn sync_directory(&self) -> Outcome<()> {
        File::open(&self.directory).and_then(|file| file.sync_all()).at(&self.directory)
    }

    /// With the batches after `start`.
    fn begin_log(&self, start: u64) -> Outcome<Log> {
        let path = self.log_path(start);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).at(&path)?;
        self.sync_directory()?;
        Ok(Log { file, path, end: 0, sequence: start })
    }

    fn load(&self) -> Outcome<()> {
        let mut base = 0;
        let path = self.directory.join("base");
        match fs::read(&path) {
            Ok(bytes) => {
                let end = self.load_blocks(&path, &bytes, 0, &mut base)?;
                if bytes.is_empty() || end != bytes.len() {
                    let text = "damaged at offset 0; restore it from a backup";
                    return Err(Failure::new(abi::CORRUPT, &path, text));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).at(&path),
        }
        let (mut sequence, mut last, mut end) = (base, base, 0);
        for start in self.logs()? {
            let path = self.log_path(start);
            let bytes = fs::read(&path).at(&path)?;
            end = self.load_blocks(&path, &bytes, base, &mut sequence)?;
            last = start;
        }
        let mut log = self.begin_log(last)?;
        log.end = end as u64;
        log.sequence = sequence;
        // An unfinished batch was never acknowledged.
        log.file.set_len(log.end).at(&log.path)?;
        *self.log.lock().unwrap() = Some(log);
        if sequence > 0 {
            (self.host().loaded_to)(self.host, sequence);
        }
        Ok(())
    }

    /// Hands over all whole blocks and returns where they end.
    fn load_blocks(&self, path: &Path, bytes: &[u8], after: u64, sequence: &mut u64) -> Outcome<usize> {
        let mut at = 0;
        while bytes.len() - at >= HEAD_SIZE {
            let size = number(bytes, at + 24) as usize;
            if size > bytes.len() - at - HEAD_SIZE {
                break;
            }
            let body = &bytes[at + HEAD_SIZE..at + HEAD_SIZE + size];
            if number(bytes, at + 32) != checksum(body) {
                break;
            }
            if bytes[at..at + 16] != self.host().store_id {
                return Err(Failure::new(abi::INVALID, path, "is of another store"));
            }
            self.load_records(body, after)?;
            *sequence = (*sequence).max(number(bytes, at + 16));
            at += HEAD_SIZE + size;
        }
        Ok(at)
    }

    fn load_records(&self, mut body: &[u8], after: u64) -> Outcome<()> {
        while !body.is_empty() {
            let (key_size, value_size) = (number(body, 24) as usize, number(body, 32) as usize);
            let (key, rest) = body[ENTRY_SIZE..].split_at(key_size);
            let (value, rest) = rest.split_at(value_size);
            let record = Record {
                sequence: number(body, 0),
                kind: number(body, 16) as u32,
                flags: 0,
                expires_at_ms: number(body, 8) as i64,
                key: Bytes { data: key.as_ptr(), size: key_size },
                value: Bytes { data: value.as_ptr(), size: value_size },
            };
            body = rest;
            let mut error = Error { size: mem::size_of::<Error>() as u32, text: [0; 512] };
            let code = match record.sequence > after {
                true => (self.host().load)(self.host, &record, 1, &mut error),
                false => abi::OK,
            };
            if code != abi::OK {
                let text = unsafe { CStr::from_ptr(error.text.as_ptr()) };
                return Err(Failure { code, text: text.to_string_lossy().into_owned() });
            }
        }
        Ok(())
    }

    fn write(&self, records: &[Record]) -> Outcome<()> {
        let mut block = vec![0; HEAD_SIZE];
        records.iter().for_each(|record| add(&mut block, record));
        let sequence = records[records.len() - 1].sequence;
        finish(&mut block, &self.host().store_id, sequence);
        let mut guard = self.log.lock().unwrap();
        let log = guard.as_mut().expect("on_load came first");
        // Half a block does not count, and is written over.
        log.file.write_all_at(&block, log.end).at(&log.path)?;
        // What the disk has after a failed sync is not known: never only a lack of space.
        log.file.sync_data().map_err(|error| Failure::new(abi::IO, &log.path, &error.to_string()))?;
        log.end += block.len() as u64;
        log.sequence = sequence;
        Ok(())
    }

    fn checkpoint(&self, tick: &Tick) -> Outcome<()> {
        self.rotate()?;
        let mut block = vec![0; HEAD_SIZE];
        let mut record: Record = unsafe { mem::zeroed() };
        while (self.host().view_read)(tick.view, &mut record, 1) == 1 {
            add(&mut block, &record);
        }
        finish(&mut block, &self.host().store_id, tick.view_sequence);
        let (new, base) = (self.directory.join("base.new"), self.directory.join("base"));
        let file = File::create(&new).at(&new)?;
        file.write_all_at(&block, 0).and_then(|()| file.sync_all()).at(&new)?;
        fs::rename(&new, &base).at(&base)?;
        self.sync_directory()?;
        self.remove_logs(tick.view_sequence)?;
        let host = self.host();
        // `saved` is the last that abi.rs knows of.
        if host.size as usize >= mem::size_of::<Host>() {
            (host.saved)(self.host, tick.view_sequence);
        }
        Ok(())
    }

    /// Begins a new log. An empty one goes on: the new one would have its name.
    fn rotate(&self) -> Outcome<()> {
        let mut guard = self.log.lock().unwrap();
        let log = guard.as_mut().expect("on_load came first");
        if log.end > 0 {
            *log = self.begin_log(log.sequence)?;
        }
        Ok(())
    }

    /// All batches of a log are at or below the start of the next one.
    fn remove_logs(&self, covered: u64) -> Outcome<()> {
        for pair in self.logs()?.windows(2).filter(|pair| pair[1] <= covered) {
            let path = self.log_path(pair[0]);
            fs::remove_file(&path).at(&path)?;
        }
        Ok(())
    }
}

// ---- Hooks

fn report(outcome: Outcome<()>, error: *mut Error) -> c_int {
    let failure = match outcome {
        Ok(()) => return abi::OK,
        Err(failure) => failure,
    };
    let error = unsafe { &mut *error };
    let size = failure.text.len().min(error.text.len() - 1);
    for (to, from) in error.text.iter_mut().zip(failure.text.as_bytes()[..size].iter().chain(&[0])) {
        *to = *from as c_char;
    }
    failure.code
}

fn journal<'a>(this: *mut c_void) -> &'a Journal {
    unsafe { &*(this as *const Journal) }
}

extern "C" fn open(
    host: *const Host, _: *const c_void, _: usize, this: *mut *mut c_void, _: *mut Error,
) -> c_int {
    let directory = unsafe { CStr::from_ptr((*host).directory) };
    let directory = PathBuf::from(OsStr::from_bytes(directory.to_bytes()));
    let journal = Box::new(Journal { host, directory, log: Mutex::new(None) });
    unsafe { *this = Box::into_raw(journal) as *mut c_void };
    abi::OK
}

extern "C" fn on_load(this: *mut c_void, error: *mut Error) -> c_int {
    report(journal(this).load(), error)
}

extern "C" fn on_write(
    this: *mut c_void, records: *const Record, count: usize, _: u32, error: *mut Error,
) -> c_int {
    report(journal(this).write(unsafe { slice::from_raw_parts(records, count) }), error)
}

extern "C" fn on_tick(this: *mut c_void, tick: *const Tick, error: *mut Error) -> c_int {
    let tick = unsafe { &*tick };
    match tick.reason {
        abi::TICK_PERIODIC => abi::OK,
        _ => report(journal(this).checkpoint(tick), error),
    }
}

extern "C" fn close(this: *mut c_void) {
    drop(unsafe { Box::from_raw(this as *mut Journal) });
}

const fn text(bytes: &'static [u8]) -> *const c_char {
    bytes.as_ptr() as *const c_char
}

#[no_mangle]
#[allow(non_upper_case_globals)]
pub static kvstore_plugin: Plugin = Plugin {
    size: mem::size_of::<Plugin>() as u32,
    abi_major: 1,
    abi_minor: 2,
    name: text(b"rusty\0"),
    version: text(b"1.0\0"),
    description: text(b"Logs each batch to a file, in Rust\0"),
    promise: abi::DURABLE,
    flags: abi::VERSIONS,
    options: ptr::null(),
    option_count: 0,
    open,
    on_load,
    on_write,
    on_tick,
    close,
};
