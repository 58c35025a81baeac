//! The numbers of capabilities (include/uapi/linux/capability.h).

/// `CAP_SETPCAP`
pub const SETPCAP: u32 = 8;
/// `CAP_NET_ADMIN`
pub const NET_ADMIN: u32 = 12;
/// `CAP_SYS_MODULE`
pub const SYS_MODULE: u32 = 16;
/// `CAP_CHECKPOINT_RESTORE`, the last one since 5.9.
pub const CHECKPOINT_RESTORE: u32 = 40;
