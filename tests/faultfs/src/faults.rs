//! Errors on demand, and the count of changes that they start from.

use rustix::io::Errno;

/// What a changing operation needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It needs space: a full disk fails it.
    Grows,
    /// It works on a full disk.
    Shrinks,
}

#[derive(Default)]
pub(crate) struct Faults {
    operations: u64,
    fault: Option<Fault>,
}

struct Fault {
    /// The fault shows once there were that many operations.
    from: u64,
    errno: Errno,
}

impl Faults {
    /// How many changing operations succeeded.
    pub(crate) fn operations(&self) -> u64 {
        self.operations
    }

    pub(crate) fn fail_after(&mut self, operations: u64, errno: Errno) {
        self.fault = Some(Fault { from: self.operations.saturating_add(operations), errno });
    }

    pub(crate) fn heal(&mut self) {
        self.fault = None;
    }

    /// The error that a change meets now, if any.
    pub(crate) fn check(&self, change: Change) -> Result<(), fuser::Errno> {
        match &self.fault {
            Some(Fault { from, errno }) if self.operations >= *from => {
                let full = matches!(*errno, Errno::NOSPC | Errno::DQUOT);
                if full && change == Change::Shrinks {
                    Ok(())
                } else {
                    Err(fuser::Errno::from_i32(errno.raw_os_error()))
                }
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn count(&mut self) {
        self.operations += 1;
    }
}
