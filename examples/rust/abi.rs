//! kvstore/plugin.h, as far as this plug-in needs it: the structs field by field, in their order.

use std::os::raw::{c_char, c_int, c_void};

pub const OK: c_int = 0;
pub const INVALID: c_int = 1;
pub const NO_SPACE: c_int = 2;
pub const IO: c_int = 3;
pub const CORRUPT: c_int = 4;
pub const DURABLE: u32 = 2;
/// A view gives each record its own sequence.
pub const VERSIONS: u32 = 4;
pub const TICK_PERIODIC: u32 = 1;

#[repr(C)]
pub struct Error {
    pub size: u32,
    pub text: [c_char; 512],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: *const u8,
    pub size: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Record {
    pub sequence: u64,
    pub kind: u32,
    pub flags: u32,
    pub expires_at_ms: i64,
    pub key: Bytes,
    pub value: Bytes,
}

/// Opaque.
pub enum View {}

/// As far as version 1.0 goes; what follows, this plug-in does not use.
#[repr(C)]
pub struct Host {
    pub size: u32,
    pub abi_minor: u32,
    pub directory: *const c_char,
    pub store_id: [u8; 16],
    pub load: extern "C" fn(*const Host, *const Record, usize, *mut Error) -> c_int,
    pub loaded_to: extern "C" fn(*const Host, u64),
    pub view_read: extern "C" fn(*mut View, *mut Record, usize) -> usize,
    pub log: extern "C" fn(*const Host, u32, *const c_char),
    pub wake: extern "C" fn(*const Host),
    pub extension: extern "C" fn(*const Host, *const c_char) -> *const c_void,
    /// Look at `size` first.
    pub saved: extern "C" fn(*const Host, u64),
}

#[repr(C)]
pub struct Tick {
    pub size: u32,
    pub reason: u32,
    pub now_ms: i64,
    pub monotonic_ms: u64,
    pub view: *mut View,
    pub view_sequence: u64,
    pub view_count: u64,
    pub view_bytes: u64,
}

/// Options are not used here: the table is empty.
#[repr(C)]
pub struct Plugin {
    pub size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
    pub name: *const c_char,
    pub version: *const c_char,
    pub description: *const c_char,
    pub promise: u32,
    pub flags: u32,
    pub options: *const c_void,
    pub option_count: usize,
    pub open: extern "C" fn(*const Host, *const c_void, usize, *mut *mut c_void, *mut Error) -> c_int,
    pub on_load: extern "C" fn(*mut c_void, *mut Error) -> c_int,
    pub on_write: extern "C" fn(*mut c_void, *const Record, usize, u32, *mut Error) -> c_int,
    pub on_tick: extern "C" fn(*mut c_void, *const Tick, *mut Error) -> c_int,
    pub close: extern "C" fn(*mut c_void),
}

// The host reads it from any thread, and nobody changes it.
unsafe impl Sync for Plugin {}
