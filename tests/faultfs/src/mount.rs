//! The mount itself, made by the kernel's own system calls: only root can do it.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Mounts a FUSE file system at `mountpoint`. The result is the kernel's end of it, which must be served.
pub(crate) fn attach(mountpoint: &Path) -> anyhow::Result<OwnedFd> {
    let device = File::options().read(true).write(true).open("/dev/fuse").context("cannot open /dev/fuse")?;
    let mode = fs::metadata(mountpoint)?.mode();
    let options =
        format!("fd={},rootmode={mode:o},user_id=0,group_id=0,default_permissions,allow_other", device.as_raw_fd());
    let options = CString::new(options)?;
    mount("faultfs", mountpoint, "fuse", MountFlags::empty(), options.as_c_str())
        .with_context(|| format!("cannot mount at {}", mountpoint.display()))?;
    Ok(device.into())
}

/// Ends the mount at `mountpoint`, even while files in it are open: from now on they only give errors.
pub(crate) fn detach(mountpoint: &Path) {
    // It fails only if somebody has unmounted it before.
    let _ = unmount(mountpoint, UnmountFlags::FORCE | UnmountFlags::DETACH);
}
