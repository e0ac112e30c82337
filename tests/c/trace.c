/*
 * Situations in which the five calls fail, for the trace to explain. Each call is checked to fail with the errno that the kernel gives, so that
 * tracing is seen to change nothing.
 *
 *     trace SITUATION [NUMBER]
 *
 * It runs in a directory whose keys are its own, with a file "shmfile" in it. It ends with 77 where this machine does not allow the situation.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_HERE = 77, UNTOUCHED = 12345 };
#define FAILED ((void *) -1)

static void complain(const char *call, int line)
{
    printf("line %d: %s: errno is %s\n", line, call, strerrorname_np(errno));
    exit(1);
}

/* The call fails with this errno. */
#define FAILS(call, number) FAILS_AS(-1, call, number)
#define FAILS_AS(failure, call, number)                                                                                \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        if ((call) != (failure) || errno != (number)) {                                                                \
            complain(#call, __LINE__);                                                                                 \
        }                                                                                                              \
    } while (0)

/* The call succeeds and leaves errno alone. */
#define WORKS(call)                                                                                                    \
    do {                                                                                                               \
        errno = UNTOUCHED;                                                                                             \
        if ((call) == -1 || errno != UNTOUCHED) {                                                                      \
            complain(#call, __LINE__);                                                                                 \
        }                                                                                                              \
    } while (0)

/* In a child: CHILD { ... } */
#define CHILD for (pid_t child_ = fork(); child_ == 0; exit(0))

/* Ends with 77, because this machine does not allow the situation. */
#define NEEDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            exit(NOT_HERE);                                                                                            \
        }                                                                                                              \
    } while (0)

static int get(key_t key, size_t size, int flags)
{
    int id;

    WORKS(id = shmget(key, size, flags));
    return id;
}

static char *attach(int id)
{
    char *memory;

    errno = UNTOUCHED;
    memory = shmat(id, NULL, 0);
    if (memory == FAILED || errno != UNTOUCHED) {
        complain("shmat", __LINE__);
    }
    return memory;
}

static void drop(int id)
{
    WORKS(shmctl(id, IPC_RMID, NULL));
}

static key_t the_key(void)
{
    return ftok("shmfile", 115);
}

/* Writes a value into a file below /proc. */
static void put(const char *file, const char *value)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    NEEDS(fd >= 0 && write(fd, value, strlen(value)) >= 0);
    close(fd);
}

/* An IPC namespace of this process's own, with a limit set in it. */
static void own_namespace(const char *limit, const char *value)
{
    NEEDS(unshare(CLONE_NEWIPC) == 0);
    if (limit != NULL) {
        put(limit, value);
    }
}

static void install(struct sock_filter *instructions, size_t count)
{
    struct sock_fprog program = {(unsigned short) count, instructions};

    NEEDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* From now on, a seccomp filter answers this call if an argument has this value; argument -1 stands for any. */
static void filter_one(int call, int argument, int value, int number)
{
    struct sock_filter one[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned) call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (unsigned) (argument < 0 ? offsetof(struct seccomp_data, nr) : offsetof(struct seccomp_data, args[argument]))),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned) (argument < 0 ? call : value), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned) number & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    install(one, sizeof one / sizeof one[0]);
}

/* From now on, a seccomp filter answers these calls: shmctl alone, or all four. */
static void filter(int number, int shmctl_alone)
{
    struct sock_filter all[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmctl, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, shmctl_alone ? SYS_shmctl : SYS_shmget, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, shmctl_alone ? SYS_shmctl : SYS_shmat, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, shmctl_alone ? SYS_shmctl : SYS_shmdt, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned) number & SECCOMP_RET_DATA)),
    };

    install(all, sizeof all / sizeof all[0]);
}

/* Becomes the user "nobody", with these groups. */
static void become(size_t count, const gid_t *groups)
{
    NEEDS(geteuid() == 0);
    if (setgroups(count, groups) != 0 || setgid(65534) != 0 || setuid(65534) != 0) {
        exit(1);
    }
}

static void become_nobody(void)
{
    become(0, NULL);
}

static void no_key(void);

static void too_small(void)
{
    int id = get(the_key(), 512, IPC_CREAT | 0600);

    FAILS(shmget(the_key(), 1024, 0600), EINVAL);
    drop(id);
}

static void bad_sizes(void)
{
    FAILS(shmget(the_key(), 0, IPC_CREAT | 0600), EINVAL);
    FAILS(shmget(the_key(), (size_t) -1, IPC_CREAT | 0600), EINVAL);
    FAILS(shmget(the_key(), 4096, IPC_CREAT | SHM_HUGETLB | (13 << 26) | 0600), EINVAL);
}

static void beyond_shmmax(void)
{
    own_namespace("/proc/sys/kernel/shmmax", "8192");
    FAILS(shmget(the_key(), 8193, IPC_CREAT | 0600), EINVAL);
}

static void exists(void)
{
    int id = get(the_key(), 512, IPC_CREAT | 0600);

    FAILS(shmget(the_key(), 512, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    drop(id);
}

/* This process has it attached. */
static void exists_in_use(void)
{
    int id = get(the_key(), 512, IPC_CREAT | 0600);

    attach(id);
    FAILS(shmget(the_key(), 512, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    FAILS(shmget(the_key(), 1024, 0600), EINVAL);
    drop(id);
}

/* Its creator, a child, has ended. */
static void exists_orphaned(void)
{
    CHILD {
        attach(get(the_key(), 512, IPC_CREAT | 0600));
    }
    wait(NULL);
    FAILS(shmget(the_key(), 512, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    FAILS(shmget(the_key(), 1024, 0600), EINVAL);
    drop(shmget(the_key(), 0, 0));
}

/* The number whose hexadecimal digits are the decimal ones of this. */
static int as_hexadecimal(int number)
{
    char digits[16];

    snprintf(digits, sizeof digits, "%d", number);
    return (int) strtol(digits, NULL, 16);
}

/* Keys where ids belong, and the other way round. */
static void keys_and_ids(void)
{
    int number = 50000000 + getpid() % 1000000, key, id;
    struct shmid_ds ds;

    /* An id that most likely is no segment's key. */
    while ((id = get(number, 512, IPC_CREAT | IPC_EXCL | 0600)) < 1 << 15) {
        drop(id);
    }
    FAILS_AS(FAILED, shmat(number, NULL, 0), EINVAL);
    FAILS(shmctl(number, IPC_RMID, NULL), EINVAL);
    FAILS(shmctl(number, IPC_STAT, &ds), EINVAL);
    FAILS(shmdt((void *) (long) id), EINVAL);
    FAILS(shmget(id, 512, 0600), ENOENT);
    drop(id);
    id = get(-number, 512, IPC_CREAT | IPC_EXCL | 0600);
    FAILS(shmctl(-number, IPC_RMID, NULL), EINVAL);
    drop(id);
    key = as_hexadecimal(number);
    id = get(key, 512, IPC_CREAT | IPC_EXCL | 0600);
    FAILS(shmctl(number, IPC_RMID, NULL), EINVAL);
    FAILS(shmget(number, 512, 0600), ENOENT);
    drop(id);
}

/* A mode without its leading 0, and none at all. */
static void decimal_modes(void)
{
    key_t key = the_key();
    int id;

    /* No mode applies to root. */
    if (geteuid() == 0) {
        become_nobody();
    }
    id = get(key, 512, 666 | IPC_CREAT);
    FAILS_AS(FAILED, shmat(id, NULL, 0), EACCES);
    drop(id);
    id = get(key, 512, IPC_CREAT);
    FAILS_AS(FAILED, shmat(id, NULL, 0), EACCES);
    drop(id);
    id = get(key, 512, IPC_CREAT | 0400);
    FAILS(shmget(key, 0, 644 & ~IPC_CREAT), EACCES);
    drop(id);
    drop(get(key, 512, IPC_CREAT | 0666));
}

/* Two files that give one key. What a descriptor leads to has an inode number, too, and a new one is soon made. */
static void one_key_of_two_files(void)
{
    int first = memfd_create("first", 0), second, id, tries;
    struct stat one, other;
    char path[32], other_path[32];
    key_t key;

    fstat(first, &one);
    for (tries = 0; tries < 20000000; tries++) {
        second = memfd_create("second", 0);
        if (fstat(second, &other) == 0 && (one.st_ino & 0xffff) == (other.st_ino & 0xffff)) {
            break;
        }
        close(second);
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", first);
    snprintf(other_path, sizeof other_path, "/proc/self/fd/%d", second);
    key = ftok(path, 77);
    if (ftok(path, 77) != key || ftok(other_path, 77) != key || ftok(path, 78) == key) {
        exit(1);
    }
    id = get(key, 512, IPC_CREAT | 0600);
    FAILS(shmget(key, 512, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    drop(id);
}

/* A file that is made again under its name, and one that is deleted. */
static void replaced(void)
{
    key_t key = the_key(), later;
    int id;

    close(open("another", O_WRONLY | O_CREAT, 0600));
    if (rename("another", "shmfile") != 0) {
        exit(1);
    }
    FAILS(shmget(key, 512, 0600), ENOENT);
    id = get(key, 512, IPC_CREAT | 0600);
    later = the_key();
    FAILS(shmget(later, 512, 0600), ENOENT);
    drop(id);
    unlink("shmfile");
    FAILS(shmget(later, 512, 0600), ENOENT);
}

/* Asks again and again for a segment that does not exist, beside one with a similar key. */
static void asks_again(void)
{
    int id = get(the_key(), 512, IPC_CREAT | 0600), i;

    for (i = 0; i < 200; i++) {
        FAILS(shmget(the_key() ^ 1, 512, 0600), ENOENT);
    }
    drop(id);
}

/* In an IPC namespace apart from all others. */
static void namespace_of_its_own(void)
{
    own_namespace(NULL, NULL);
    no_key();
}

/* The first process of a PID namespace, and a child of it that has another IPC namespace. */
static void namespace_of_another(void)
{
    int ready[2], done[2], status;
    char byte;

    NEEDS(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
    CHILD {
        NEEDS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("proc", "/proc", "proc", 0, NULL) == 0);
        if (pipe(ready) != 0 || pipe(done) != 0) {
            exit(1);
        }
        if (fork() == 0) {
            close(done[1]);
            own_namespace(NULL, NULL);
            close(ready[1]);
            exit(read(done[0], &byte, 1) > 0);
        }
        close(ready[1]);
        if (read(ready[0], &byte, 1) == 0) {
            FAILS(shmget(0x7b5a1234, 512, 0600), ENOENT);
        }
        close(done[1]);
        wait(NULL);
    }
    wait(&status);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void no_key(void)
{
    FAILS(shmget(the_key(), 512, 0600), ENOENT);
    FAILS(shmget(0x7b5a1234, 512, 0600), ENOENT);
}

/* In a namespace where no process has a segment under the key -1. */
static void key_of_failed_ftok(void)
{
    key_t key;

    own_namespace(NULL, NULL);
    FAILS(shmget(-1, 512, 0600), ENOENT);
    FAILS(key = ftok("no such directory/file", 'A'), ENOENT);
    FAILS(shmget(key, 512, 0600), ENOENT);
    drop(get(key, 512, IPC_CREAT | 0600));
}

/* Waits for a child and removes a segment. Ends with the child's status unless that is 0. */
static void wait_well(int id)
{
    int status;

    wait(&status);
    drop(id);
    if (status != 0) {
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
}

static void stranger(void)
{
    int id = get(the_key(), 512, IPC_CREAT | 0600);

    CHILD {
        struct shmid_ds ds;

        become_nobody();
        FAILS(shmget(the_key(), 512, 0600), EACCES);
        FAILS_AS(FAILED, shmat(id, NULL, 0), EACCES);
        FAILS(shmctl(id, IPC_STAT, &ds), EACCES);
        FAILS(shmctl(id, IPC_RMID, NULL), EPERM);
    }
    wait_well(id);
}

/* A segment of another owner, group and mode. */
static int owned(uid_t uid, gid_t gid, int mode)
{
    struct shmid_ds ds;
    int id = get(IPC_PRIVATE, 512, 0600);

    WORKS(shmctl(id, IPC_STAT, &ds));
    ds.shm_perm.uid = uid;
    ds.shm_perm.gid = gid;
    ds.shm_perm.mode = (unsigned short) mode;
    WORKS(shmctl(id, IPC_SET, &ds));
    return id;
}

/* A filter answers EACCES, and the mode has nothing to do with it. */
static void filtered_access(void)
{
    int id = get(the_key(), 512, IPC_CREAT | 0666);

    CHILD {
        /* No mode applies to root. */
        if (geteuid() == 0) {
            become_nobody();
        }
        filter_one(SYS_shmat, -1, 0, EACCES);
        FAILS_AS(FAILED, shmat(id, NULL, 0), EACCES);
    }
    wait_well(id);
}

/* Root, to whom no mode applies, and a filter that refuses its calls. */
static void filtered_root(void)
{
    struct shmid_ds ds;
    key_t key = the_key();
    int id;

    CHILD {
        become_nobody();
        get(key, 512, IPC_CREAT | 0600);
    }
    wait(NULL);
    id = get(key, 0, 0);
    CHILD {
        WORKS(shmctl(id, IPC_STAT, &ds));
        filter_one(SYS_shmat, -1, 0, EACCES);
        filter_one(SYS_shmctl, 1, IPC_SET, EPERM);
        FAILS_AS(FAILED, shmat(id, NULL, 0), EACCES);
        FAILS(shmctl(id, IPC_SET, &ds), EPERM);
    }
    wait_well(id);
}

/* Each class of a mode has its own rights, and each call asks for its own. */
static void classes(void)
{
    int group = owned(0, 1234, 0604), owner = owned(65534, 0, 0066), open = owned(0, 0, 0666);

    CHILD {
        const gid_t groups[] = {1234};

        become(1, groups);
        FAILS_AS(FAILED, shmat(group, NULL, SHM_RDONLY), EACCES);
        FAILS_AS(FAILED, shmat(owner, NULL, 0), EACCES);
        FAILS_AS(FAILED, shmat(open, NULL, SHM_EXEC), EACCES);
        FAILS(shmctl(open, SHM_LOCK, NULL), EPERM);
        FAILS_AS(FAILED, shmat(open, (void *) 0x10, SHM_RND), EPERM);
    }
    wait_well(group);
    drop(owner);
    drop(open);
}

/* The mode changes all the time, so that it may well allow what it has just forbidden. */
static void toggled(void)
{
    struct shmid_ds ds;
    int id = owned(0, 0, 0666), i, refused = 0;

    CHILD {
        become_nobody();
        for (i = 0; i < 20000 && refused < 1000; i++) {
            char *memory = shmat(id, NULL, 0);

            refused += memory == FAILED;
            if (memory != FAILED) {
                shmdt(memory);
            }
        }
    }
    syscall(SYS_shmctl, id, IPC_STAT, &ds);
    while (waitpid(-1, NULL, WNOHANG) == 0) {
        ds.shm_perm.mode ^= 0066;
        syscall(SYS_shmctl, id, IPC_SET, &ds);
    }
    drop(id);
}

/* A user namespace that knows neither root nor its segment's owner. */
static void unknown_owner(void)
{
    int id = owned(12345, 12345, 0600);

    CHILD {
        become_nobody();
        /* What /proc shows of this process would be root's own else. */
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        NEEDS(unshare(CLONE_NEWUSER) == 0);
        put("/proc/self/uid_map", "7 65534 1");
        put("/proc/self/setgroups", "deny");
        put("/proc/self/gid_map", "7 65534 1");
        FAILS_AS(FAILED, shmat(id, NULL, 0), EACCES);
        FAILS(shmctl(id, IPC_RMID, NULL), EPERM);
    }
    wait_well(id);
}

/* A limit on locked memory that is reached by two segments together. */
static void locked(void)
{
    struct rlimit limit = {3 << 20, 3 << 20};
    int one, two;

    NEEDS(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    become_nobody();
    one = get(IPC_PRIVATE, 2 << 20, 0600);
    two = get(IPC_PRIVATE, 2 << 20, 0600);
    WORKS(shmctl(one, SHM_LOCK, NULL));
    FAILS(shmctl(two, SHM_LOCK, NULL), ENOMEM);
    drop(one);
    drop(two);
}

/* Addresses, buffers and indices that are invalid. */
static void odd_arguments(void)
{
    static const struct shmid_ds constant;
    struct shmid_ds ds;
    int id = get(IPC_PRIVATE, 512, 0600);

    FAILS_AS(FAILED, shmat(id, (void *) 0x7ffffffff000, 0), ENOMEM);
    FAILS_AS(FAILED, shmat(id, (void *) 0xffff800000000000, 0), ENOMEM);
    FAILS_AS(FAILED, shmat(id, (void *) 0x10, SHM_RND | SHM_REMAP), EINVAL);
    FAILS(shmctl(id, IPC_STAT, NULL), EFAULT);
    FAILS(shmctl(id, IPC_STAT, (struct shmid_ds *) &constant), EFAULT);
    FAILS(shmctl(id, IPC_SET, (void *) 8), EFAULT);
    FAILS(shmctl(32000, 13 /* SHM_STAT */, &ds), EINVAL);
    WORKS(shmctl(id, IPC_STAT, &ds));
    ds.shm_perm.uid = (uid_t) -1;
    FAILS(shmctl(id, IPC_SET, &ds), EINVAL);
    drop(id);
    FAILS(ftok("", 1), ENOENT);
    FAILS(shmget(IPC_PRIVATE, 1, SHM_HUGETLB | (34 << 26) | 0600), EINVAL);
}

static void too_many(void)
{
    own_namespace("/proc/sys/kernel/shmmni", "3");
    CHILD {
        get(IPC_PRIVATE, 1, 0600);
    }
    wait(NULL);
    get(IPC_PRIVATE, 1, 0600);
    attach(get(IPC_PRIVATE, 1, 0600));
    FAILS(shmget(IPC_PRIVATE, 1, 0600), ENOSPC);
}

static void too_many_pages(void)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);

    own_namespace("/proc/sys/kernel/shmall", "5");
    get(IPC_PRIVATE, 3 * page, 0600);
    FAILS(shmget(IPC_PRIVATE, 2 * page + 1, 0600), ENOSPC);
}

/* An id whose place in the kernel's table another segment has. */
static void place_taken(void)
{
    int old, other = -1, tries;

    own_namespace(NULL, NULL);
    old = get(IPC_PRIVATE, 1, 0600);
    drop(old);
    for (tries = 0; tries < 40000; tries++) {
        other = get(IPC_PRIVATE, 1, 0600);
        if ((other & 0x7fff) == (old & 0x7fff)) {
            break;
        }
        drop(other);
    }
    FAILS_AS(FAILED, shmat(old, NULL, 0), EINVAL);
    FAILS(shmctl(old, IPC_RMID, NULL), EINVAL);
    drop(other);
}

static volatile int current_id, found;

static void *come_and_go(void *unused)
{
    while (!found) {
        current_id = shmget(IPC_PRIVATE, 1, 0600);
        shmctl(current_id, IPC_RMID, NULL);
    }
    return unused;
}

/* A segment that is removed while a call on it is under way. */
static void removed(void)
{
    pthread_t thread;
    long tries;

    own_namespace(NULL, NULL);
    pthread_create(&thread, NULL, come_and_go, NULL);
    for (tries = 0; tries < 20000000 && !found; tries++) {
        int id = current_id;
        char *memory = shmat(id, NULL, 0);

        if (memory != FAILED) {
            shmdt(memory);
        } else {
            found = errno == EIDRM;
        }
    }
    NEEDS(found);
    pthread_join(thread, NULL);
}

static void no_id(void)
{
    FAILS_AS(FAILED, shmat(-1, NULL, 0), EINVAL);
    FAILS_AS(FAILED, shmat(0x7ffffff1, NULL, 0x100000), EINVAL);
    FAILS(shmctl(-5, IPC_STAT, NULL), EINVAL);
    FAILS(shmctl(0, 77, NULL), EINVAL);
}

static void bad_addresses(void)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    int id = get(IPC_PRIVATE, 4 * page, 0600);
    char *memory = attach(id);

    FAILS_AS(FAILED, shmat(id, memory + 1, 0), EINVAL);
    FAILS_AS(FAILED, shmat(id, memory + page, 0), EINVAL);
    FAILS_AS(FAILED, shmat(id, NULL, SHM_REMAP), EINVAL);
    FAILS(shmdt(FAILED), EINVAL);
    FAILS(shmdt(memory + page), EINVAL);
    FAILS(shmctl(id, IPC_STAT, (void *) 8), EFAULT);
    WORKS(shmdt(memory));
    FAILS(shmdt(memory), EINVAL);
    drop(id);
    FAILS(ftok((void *) 8, 1), EFAULT);
}

static void address_space(void)
{
    struct rlimit limit;
    int id = get(IPC_PRIVATE, 64 << 20, 0600);

    /* What a small program needs, and not the segment as well. */
    limit.rlim_cur = limit.rlim_max = 32 << 20;
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        drop(id);
        exit(NOT_HERE);
    }
    FAILS_AS(FAILED, shmat(id, NULL, 0), ENOMEM);
    drop(id);
}

static void memory(void)
{
    /* 64 TiB: no machine has that much, and an address space is larger. */
    int id = shmget(IPC_PRIVATE, (size_t) 1 << 46, 0600);

    if (id >= 0) {
        drop(id);
        exit(NOT_HERE); /* vm.overcommit_memory is 1 */
    }
    FAILS(shmget(IPC_PRIVATE, (size_t) 1 << 46, 0600), ENOMEM);
}

static void huge_pages(void)
{
    FAILS(shmget(IPC_PRIVATE, (size_t) 1 << 42, SHM_HUGETLB | (21 << 26) | 0600), ENOMEM);
}

static void filtered(int number)
{
    struct shmid_ds ds;

    filter(number, 0);
    FAILS(shmget(IPC_PRIVATE, 512, 0600), number);
    FAILS_AS(FAILED, shmat(7, NULL, 0), number);
    FAILS(shmdt(&ds), number);
    FAILS(shmctl(7, IPC_STAT, &ds), number);
}

/* No /proc, and a filter that answers the calls: nothing can be found out. */
static void blind(void)
{
    NEEDS(chroot(".") == 0 && chdir("/") == 0);
    filter(ENOSYS, 0);
    FAILS(shmget(IPC_PRIVATE, 512, 0600), ENOSYS);
}

/* The segment exists, and its record cannot be read. */
static void half_blind(void)
{
    key_t key = the_key();
    int id = get(key, 512, IPC_CREAT | 0600);

    CHILD {
        filter(EPERM, 1);
        FAILS(shmget(key, 1024, 0600), EINVAL);
        FAILS(shmget(key, 512, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
        FAILS_AS(FAILED, shmat(id ^ 0x1000000, NULL, 0), EINVAL);
    }
    wait(NULL);
    drop(id);
}

/* A program that leaves segments behind. */
static void untidy(void)
{
    attach(get(the_key(), 1000, IPC_CREAT | 0640));
    attach(get(IPC_PRIVATE, 500, 0600));
    drop(get(IPC_PRIVATE, 1, 0600));
}

/* A segment that a child still has attached when its creator ends; the child waits for the end of its input. */
static void shared(void)
{
    int id = get(the_key(), 1000, IPC_CREAT | 0600), ready[2];
    char byte;

    if (pipe(ready) != 0) {
        exit(1);
    }
    if (fork() == 0) {
        attach(id);
        close(ready[0]);
        close(ready[1]);
        while (read(0, &byte, 1) > 0) {
        }
        _exit(0);
    }
    close(ready[1]);
    while (read(ready[0], &byte, 1) > 0) {
    }
}

static void killed(int signal)
{
    get(the_key(), 1000, IPC_CREAT | 0600);
    kill(getpid(), signal);
}

static void exit_at_once(int number)
{
    get(the_key(), 1000, IPC_CREAT | 0600);
    _exit(number);
}

/* A child that cannot report what it leaves: it is killed, or calls _exit. */
static void killed_child(int signal)
{
    if (fork() == 0) {
        get(IPC_PRIVATE, 1000, 0600);
        if (signal != 0) {
            kill(getpid(), signal);
        }
        _exit(0);
    }
    wait(NULL);
}

/* In an IPC namespace of its own, where the process that has started this does not see what is left. */
static void apart(void)
{
    own_namespace(NULL, NULL);
    get(the_key(), 1000, IPC_CREAT | 0600);
}

/* Very many segments, each attached. */
static void plenty(void)
{
    own_namespace(NULL, NULL);
    for (int i = 0; i < 2000; i++) {
        attach(get(IPC_PRIVATE, 1, 0600));
    }
}

/* Closes all descriptors, and continues when its input ends. */
static void closer_that_waits(void)
{
    char byte;
    int fd;

    no_key();
    for (fd = 3; fd < 4096; fd++) {
        close(fd);
    }
    while (read(0, &byte, 1) > 0) {
    }
    no_key();
}

static void *many(void *unused)
{
    for (int i = 0; i < 200; i++) {
        FAILS(shmget(0x7b5a1234, 512, 0600), ENOENT);
    }
    return unused;
}

static void crowd(void)
{
    pthread_t threads[4];
    int process, i;

    for (process = 0; process < 2; process++) {
        fork();
    }
    for (i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, many, NULL);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    while (wait(NULL) > 0) {
    }
}

/* What daemons do with descriptors, and a file of the program's own that gets every number. */
static void closer(void)
{
    int fd, own = -1;

    no_key();
    for (fd = 3; fd < 4096; fd++) {
        close(fd);
    }
    for (fd = 3; fd < 1024 && own < 1023; fd++) {
        own = open("own", O_WRONLY | O_CREAT | O_APPEND, 0600);
    }
    no_key();
}

/* No process reads standard error. */
static void unheard(void)
{
    for (int i = 0; i < 3; i++) {
        no_key();
    }
}

static void in_a_handler(int signal)
{
    (void) signal;
    FAILS(shmget(0x7b5a1234, 512, 0600), ENOENT);
}

static void handler(void)
{
    struct sigaction action;
    int i;

    memset(&action, 0, sizeof action);
    action.sa_handler = in_a_handler;
    sigaction(SIGALRM, &action, NULL);
    ualarm(200, 200);
    for (i = 0; i < 3000; i++) {
        int before = errno = i;
        FAILS(ftok("no such file", 1), ENOENT);
        (void) before;
    }
    ualarm(0, 0);
}

/* How many descriptors are open. */
static void descriptors(void)
{
    int fd, count = 0;

    no_key();
    for (fd = 3; fd < 4096; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    printf("%d", count);
}

/* A situation, whose name has - where the function has _, and the number that the command line has after it. */
struct situation {
    const char *name;
    void (*make)(void);
    void (*make_with)(int number);
};

#define PLAIN(function) {#function, function, NULL}
#define WITH_NUMBER(function) {#function, NULL, function}

static const struct situation situations[] = {
    PLAIN(too_small), PLAIN(bad_sizes), PLAIN(beyond_shmmax), PLAIN(exists), PLAIN(no_key), PLAIN(key_of_failed_ftok),
    PLAIN(stranger), PLAIN(too_many), PLAIN(too_many_pages), PLAIN(removed), PLAIN(place_taken), PLAIN(no_id),
    PLAIN(bad_addresses), PLAIN(address_space), PLAIN(memory), PLAIN(huge_pages), PLAIN(blind), PLAIN(half_blind),
    PLAIN(untidy), PLAIN(shared), PLAIN(crowd), PLAIN(closer), PLAIN(unheard), PLAIN(handler), PLAIN(descriptors),
    PLAIN(filtered_access), PLAIN(filtered_root), PLAIN(classes), PLAIN(toggled), PLAIN(unknown_owner),
    PLAIN(locked), PLAIN(odd_arguments), PLAIN(apart), PLAIN(plenty), PLAIN(closer_that_waits), PLAIN(exists_in_use),
    PLAIN(exists_orphaned), PLAIN(keys_and_ids), PLAIN(decimal_modes), PLAIN(replaced), PLAIN(one_key_of_two_files),
    PLAIN(asks_again), PLAIN(namespace_of_its_own), PLAIN(namespace_of_another),
    WITH_NUMBER(filtered), WITH_NUMBER(killed), WITH_NUMBER(killed_child), WITH_NUMBER(exit_at_once),
};

static int is_called(const char *name, const char *word)
{
    while (*name != '\0' && *word == (*name == '_' ? '-' : *name)) {
        name++;
        word++;
    }
    return *name == '\0' && *word == '\0';
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof situations / sizeof situations[0]; i++) {
        const struct situation *one = &situations[i];

        if (is_called(one->name, argv[1])) {
            if (one->make != NULL) {
                one->make();
            } else {
                one->make_with(argc > 2 ? atoi(argv[2]) : 0);
            }
            return 0;
        }
    }
    fprintf(stderr, "usage: %s SITUATION [NUMBER]\n", argv[0]);
    return 2;
}
