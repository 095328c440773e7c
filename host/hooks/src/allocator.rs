//! The allocator of the process that compiles hooks, which must end when its memory does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status of a process that ran out of memory while it compiled: sysexits' `EX_OSERR`.
pub(crate) const OUT_OF_MEMORY: u8 = 71;

static IS_COMPILING: AtomicBool = AtomicBool::new(false);

/// The system's allocator. In a process that compiles hooks, the end of memory is the end of the process, with
/// an exit status of its own: what Rust does by itself, to print a message and abort, takes memory too, and can
/// hang. The program that offers [`compile::here`](crate::compile::here) as a command makes this its
/// `#[global_allocator]`.
pub struct Allocator;

/// Ends this process as soon as it gets no memory.
pub(crate) fn end_without_memory() {
    IS_COMPILING.store(true, Ordering::Relaxed);
}

fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() && IS_COMPILING.load(Ordering::Relaxed) {
        // SAFETY: it ends the process at once, and so needs neither memory nor locks.
        unsafe { libc::_exit(OUT_OF_MEMORY.into()) };
    }
    memory
}

// SAFETY: each function is the system allocator's own, and what that returns is returned unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the rules of `GlobalAlloc`, which are the same there.
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
