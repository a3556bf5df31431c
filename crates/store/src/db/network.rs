//! Telling file systems on which other machines may write.

use std::path::Path;

/// Whether a file lies on a file system whose memory maps other machines do not see, so that a write-ahead log would be
/// torn. FUSE counts: what is behind it (sshfs, GlusterFS, a local disk) cannot be told by number.
pub(crate) fn is_network_file_system(path: &Path) -> bool {
    const NETWORK: [u64; 14] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x00c3_6400, // Ceph
        0x0102_1997, // 9P
        0x0bd0_0bd0, // Lustre
        0x0116_1970, // GFS2
        0x7461_636f, // OCFS2
        0x5346_414f, // AFS
        0x6b41_4653, // AFS of the kernel
        0x4750_4653, // GPFS
        0xaad7_aaea, // Panasas
        0x6573_5546, // FUSE
    ];
    // The type is signed or unsigned, 32 or 64 bits wide, depending on the machine; the magic is its low 32 bits.
    rustix::fs::statfs(path).is_ok_and(|stat| NETWORK.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_file_systems_count() {
        assert!(!is_network_file_system(Path::new("/proc")));
        assert!(!is_network_file_system(Path::new("/nonexistent")));
    }
}
