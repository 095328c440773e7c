//! The allocator of the process that compiles hooks, which must exit when it runs out of memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status of a process that ran out of memory while it compiled: sysexits' `EX_OSERR`.
pub(crate) const OUT_OF_MEMORY: u8 = 71;

static IS_COMPILING: AtomicBool = AtomicBool::new(false);

/// The system's allocator. A process that compiles hooks exits with a separate status when it runs out of
/// memory: Rust's default, to print a message and abort, needs memory itself and can hang. The program that
/// offers [`compile::in_process`](crate::compile::in_process) as a command sets this as its
/// `#[global_allocator]`.
pub struct Allocator;

/// Makes this process exit as soon as an allocation fails.
pub(crate) fn exit_when_out_of_memory() {
    IS_COMPILING.store(true, Ordering::Relaxed);
}

fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() && IS_COMPILING.load(Ordering::Relaxed) {
        // SAFETY: it exits at once, without allocating memory or taking locks.
        unsafe { libc::_exit(OUT_OF_MEMORY.into()) };
    }
    memory
}

// SAFETY: each function calls the system allocator and returns its result unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc`, which the system allocator shares.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(memory, layout, new_size) })
    }
}
