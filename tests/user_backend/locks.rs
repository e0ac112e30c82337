//! Where there are no locks that a mapping holds, every call fails: no process could tell what is attached.

use crate::{
    namespace::*,
    needs,
    support::{fork_child, install_filter, status_of},
};

tasks! {
    a_kernel_without_locks_of_open_files_is_an_error
    ;
    nothing_is_created
}

/// Installs a seccomp filter that answers as a kernel which does not know the command `F_OFD_SETLK` of fcntl(2).
fn refuse_locks() {
    let load = |offset| (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset);
    let skip_unless = |number, count| (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, count, number);
    let end = |action| (libc::BPF_RET | libc::BPF_K, 0, action);
    let second_argument = 16
        + if cfg!(target_endian = "little") {
            8
        } else {
            12
        };
    let program = [
        load(0),
        skip_unless(libc::SYS_fcntl as u32, 3),
        load(second_argument),
        skip_unless(libc::F_OFD_SETLK as u32, 1),
        end(libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    let mut program = program.map(|(code, jf, k)| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    });
    install_filter(&mut program);
}

fn a_kernel_without_locks_of_open_files_is_an_error() {
    let without_locks = || {
        let child = fork_child(|| {
            refuse_locks();
            assert_eq!(fails(get(7, 100, CREATE | 0o600)), libc::ENOSYS);
            0
        });
        assert_eq!(status_of(child), 0);
    };
    without_locks();
    // The same where there is a table.
    let child = fork_child(|| {
        private(1);
        0
    });
    assert_eq!(status_of(child), 0);
    without_locks();
}

fn nothing_is_created() {
    assert_eq!(fails(get(7, 100, CREATE | 0o600)), libc::ENOSYS);
}

/// On overlayfs, the locks are on `/dev/zero`. Here that is a file of overlayfs, too.
#[test]
fn no_file_whose_mapping_holds_a_lock_is_an_error() {
    needs!(NAMESPACES);
    let test = Namespace::new();
    let mount = "mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w && \
                 mount -t overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w none \
                 \"$SHMKEY_TEST_NAME\" && mkdir -m 700 \"$SHMKEY_TEST_NAME\"/d && \
                 touch \"$SHMKEY_TEST_NAME\"/zero && \
                 mount --bind \"$SHMKEY_TEST_NAME\"/zero /dev/zero && \
                 SHMKEY_DIR=$SHMKEY_TEST_NAME/d exec \"$@\"";
    let within = ["unshare", "--mount", "sh", "-c", mount, "sh"];
    test.run_within(&within, "nothing_is_created");
}
