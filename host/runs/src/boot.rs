//! The server's boot.

/// The id that the kernel gave to this boot. In debug builds, the variable `GATLING_BOOT` replaces it, for tests.
#[must_use]
pub fn id() -> Option<String> {
    #[cfg(debug_assertions)]
    if let Ok(id) = std::env::var("GATLING_BOOT") {
        return Some(id);
    }
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}
