//! Whether a file system is this machine's own: locks, time stamps and a database's shared memory hold only there.

use std::os::fd::BorrowedFd;

use rustix::fs::{fstat, fstatfs, major, minor};
use rustix::io::Errno;

/// File systems that are reached over a network, by the magic number of statfs(2).
const NETWORK: [(u64, &str); 14] = [
    (0x6969, "nfs"),
    (0x517B, "smb"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb3"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "ceph"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0BD0_0BD0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x1983_0326, "beegfs"),
];

/// `FUSE_SUPER_MAGIC`: says nothing about what is behind it; rootless containers use it for their root.
const FUSE: u64 = 0x6573_5546;

/// Programs behind FUSE that speak to a network, as `/proc/self/mountinfo` names them.
const NETWORK_FUSE: [&str; 9] = [
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.gcsfuse",
    "fuse.davfs",
    "fuse.juicefs",
    "fuse.mfs",
    "fuse.ceph-fuse",
];

/// Where a file system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Locality {
    /// On this machine.
    Local,
    /// Elsewhere; which kind.
    Network(String),
}

/// What a file system says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its type, such as `ext4`; `None` where the table of mounts does not have it.
    pub kind: Option<String>,
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Files that may still be made; `None` where it keeps no such count.
    pub free_files: Option<u64>,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// Bytes that this user may still write to the file system that a path is on.
///
/// # Errors
/// What statvfs(3) says.
pub fn free_bytes(path: &std::path::Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Asks the file system that a path is on.
///
/// # Errors
/// What statvfs(3) says.
pub fn facts(path: &std::path::Path) -> std::io::Result<Facts> {
    use std::os::unix::fs::MetadataExt as _;
    let found = rustix::fs::statvfs(path)?;
    let device = std::fs::metadata(path)?.dev();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(Facts {
        kind: kind_of_mount(&mounts, &format!("{}:{}", major(device), minor(device))).map(str::to_owned),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        free_files: (found.f_files > 0).then_some(found.f_favail),
        read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// Where the file system of an open folder is.
pub(super) fn locality(folder: BorrowedFd<'_>) -> Result<Locality, Errno> {
    // The field's width and sign differ by architecture; the magic numbers have 32 bits.
    #[expect(clippy::cast_sign_loss, reason = "the bits are compared, not the number")]
    let magic = fstatfs(folder)?.f_type as u64 & 0xFFFF_FFFF;
    if let Some((_, kind)) = NETWORK.iter().find(|(known, _)| *known == magic) {
        return Ok(Locality::Network((*kind).to_owned()));
    }
    if magic == FUSE {
        let device = fstat(folder)?.st_dev;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let kind = kind_of_mount(&mounts, &format!("{}:{}", major(device), minor(device)));
        if let Some(kind) = kind.filter(|kind| NETWORK_FUSE.contains(kind)) {
            return Ok(Locality::Network(kind.to_owned()));
        }
    }
    Ok(Locality::Local)
}

/// The file system type of a device in the text of proc(5) `mountinfo`.
fn kind_of_mount<'t>(mounts: &'t str, device: &str) -> Option<&'t str> {
    mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        (head.split(' ').nth(2)? == device).then(|| tail.split(' ').next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_device() {
        let text = "36 35 98:0 /a /b rw,noatime master:1 - ext3 /dev/root rw\n\
                    37 35 0:44 / /mnt rw - fuse.sshfs host:/ rw\n";
        assert_eq!(kind_of_mount(text, "0:44"), Some("fuse.sshfs"));
        assert_eq!(kind_of_mount(text, "98:0"), Some("ext3"));
        assert_eq!(kind_of_mount(text, "1:1"), None);
    }
}
