/*
 * Makes ordinary and unusual System V calls, and prints the result of each, without the numbers that differ between runs.
 * The test runs it on libc and on the drop-in, loaded in every way, and compares the outputs.
 *
 *     conformance calls        the calls, one edge case after the other
 *     conformance random SEED  many calls with random arguments
 *     conformance minus-one    the key -1, in an IPC namespace of its own, because all programs share that key
 *     conformance stranger     the calls of another user; needs root
 *
 * It runs in a directory of its own, with a file "shmfile", so that no other program uses its keys.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNTOUCHED = 12345 };
#define FAILED ((void *) -1)

/* Returns the name of errno, or says that a successful call has not changed it. */
static const char *said(int failed)
{
    if (!failed) {
        return errno == UNTOUCHED ? "ok" : "ok, but it changed errno";
    }
    return strerrorname_np(errno);
}

/* Prints a call's result: `shown` is the value, or -1 if its number differs between runs. */
static void show(const char *call, int failed, long shown)
{
    const char *word = said(failed);

    if (!failed && shown >= 0) {
        printf("%s: %s %ld\n", call, word, shown);
    } else {
        printf("%s: %s\n", call, word);
    }
}

static int get(const char *call, key_t key, size_t size, int flags)
{
    int id;

    errno = UNTOUCHED;
    id = shmget(key, size, flags);
    show(call, id == -1, -1);
    return id;
}

static void *at(const char *call, int id, const void *address, int flags)
{
    void *attached;

    errno = UNTOUCHED;
    attached = shmat(id, address, flags);
    show(call, attached == FAILED, -1);
    return attached;
}

static void dt(const char *call, const void *address)
{
    int answer;

    errno = UNTOUCHED;
    answer = shmdt(address);
    show(call, answer != 0, answer);
}

static int ctl(const char *call, int id, int command, void *buffer)
{
    int answer;

    errno = UNTOUCHED;
    answer = shmctl(id, command, buffer);
    show(call, answer == -1, command == IPC_RMID || command == IPC_SET || command == IPC_STAT ? answer : -1);
    return answer;
}

static void status(const char *when, int id)
{
    struct shmid_ds ds;

    memset(&ds, 0x55, sizeof ds);
    errno = UNTOUCHED;
    if (shmctl(id, IPC_STAT, &ds) != 0) {
        show(when, 1, -1);
        return;
    }
    printf("%s: size %zu nattch %lu mode %o key %s mine %d %d %d %d creator me %d last me %d times %d %d %d\n", when,
           ds.shm_segsz, (unsigned long) ds.shm_nattch, (unsigned) ds.shm_perm.mode, ds.shm_perm.__key == 0 ? "private" : "kept",
           ds.shm_perm.uid == geteuid(), ds.shm_perm.gid == getegid(), ds.shm_perm.cuid == geteuid(),
           ds.shm_perm.cgid == getegid(), ds.shm_cpid == getpid(), ds.shm_lpid == getpid(), ds.shm_atime != 0,
           ds.shm_dtime != 0, ds.shm_ctime != 0);
}

static void key(const char *path, int proj_id)
{
    key_t made;

    errno = UNTOUCHED;
    made = ftok(path, proj_id);
    printf("ftok %d: %s %08x\n", proj_id, said(made == -1), (unsigned) made);
}

static void keys(void)
{
    static char long_path[5000];

    memset(long_path, 'x', sizeof long_path - 1);
    for (int proj_id = -2; proj_id < 3; proj_id++) {
        key("shmfile", proj_id);
        key(".", proj_id);
        key("/dev/null", proj_id + 256);
        key("/", proj_id);
        key("no such file", proj_id);
    }
    key("shmfile/below a file", 1);
    key("", 1);
    key(long_path, 1);
    key((const char *) 8, 1);
    key(NULL, 1);
    printf("ids of all eight bits:");
    for (int proj_id = 0; proj_id < 256; proj_id++) {
        printf(" %x", (unsigned) ftok("shmfile", proj_id) >> 24);
    }
    printf("\n");
}

static void opening(key_t k)
{
    int id, same;

    get("private, size 0", IPC_PRIVATE, 0, 0600);
    get("private, huge", IPC_PRIVATE, SIZE_MAX, 0600);
    get("private, half of everything", IPC_PRIVATE, SIZE_MAX / 2 + 1, 0600);
    get("private, minus 4096", IPC_PRIVATE, (size_t) -4096, 0600);
    get("missing", k, 10, 0600);
    get("missing, exclusive without create", k, 10, IPC_EXCL | 0600);
    get("create, size 0", k, 0, IPC_CREAT | 0600);
    id = get("create", k, 5000, IPC_CREAT | IPC_EXCL | 0640);
    status("created", id);
    get("create again, exclusive", k, 5000, IPC_CREAT | IPC_EXCL | 0640);
    same = get("create again", k, 5000, IPC_CREAT | 0600);
    printf("the same id: %d\n", same == id);
    same = get("open, size 0", k, 0, 0);
    printf("the same id: %d\n", same == id);
    get("open, smaller", k, 1, 0600);
    get("open, larger", k, 5001, 0600);
    get("open, larger by far", k, SIZE_MAX, 0600);
    get("open, larger in the same page", k, 8192, IPC_CREAT | 0600);
    get("open, more permissions than there are", k, 1, 0777);
    get("open, unknown flags", k, 1, 0x40000);
    get("huge pages of no known size", IPC_PRIVATE, 4096, SHM_HUGETLB | (63 << 26) | 0600);
    ctl("remove", id, IPC_RMID, NULL);
    get("open after removal", k, 0, 0);
}

static void attaching(key_t k)
{
    long page = sysconf(_SC_PAGESIZE);
    int id = get("create", k, 2 * (size_t) page + 1, IPC_CREAT | 0600);
    char *a = at("attach", id, NULL, 0);
    char *b = at("attach again", id, NULL, 0);
    char *c, *room;

    printf("two addresses: %d, zeroes: %d %d\n", a != b, a[0], a[2 * page]);
    strcpy(a + 4090, "across pages");
    printf("seen by the other: %s\n", b + 4090);
    status("attached twice", id);
    c = at("read only", id, NULL, SHM_RDONLY);
    printf("readable: %c, writable after all: %d\n", c[4090], mprotect(c, 1, PROT_READ | PROT_WRITE) == 0);
    dt("detach inside", a + page);
    dt("detach at no page", a + 1);
    dt("detach", a);
    dt("detach again", a);
    dt("detach NULL", NULL);
    dt("detach the stack", &id);
    dt("detach nonsense", (void *) 0x1000);

    c = at("at an address", id, a, 0);
    printf("there: %d\n", c == a);
    at("at an address in use", id, b, 0);
    at("at no page", id, a + 1, 0);
    at("at an address in use, rounded", id, b + 1, SHM_RND);
    dt("detach", a);
    c = at("at no page, rounded", id, a + 1, SHM_RND);
    printf("there: %d\n", c == a);
    at("replace nothing", id, NULL, SHM_REMAP);
    c = at("replace", id, b, SHM_REMAP);
    printf("there: %d, still: %s\n", c == b, b + 4090);
    room = mmap(NULL, 8 * (size_t) page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    c = at("replace a reservation", id, room + page, SHM_REMAP);
    printf("there: %d, still: %s\n", c == room + page, c + 4090);
    status("attached four times", id);
    munmap(c, (size_t) page);
    status("one unmapped in part", id);
    dt("detach what is left of it", c);
    status("and gone", id);
    at("executable", id, NULL, SHM_EXEC);
    at("unknown flags", id, NULL, 0x400000);
    at("no such id", 0x7fffffff, NULL, 0);
    at("negative id", -1, NULL, 0);
    at("very negative id", -0x7fffffff - 1, NULL, 0);

    ctl("remove", id, IPC_RMID, NULL);
    status("removed but attached", id);
    ctl("remove again", id, IPC_RMID, NULL);
    get("its key", k, 0, 0);
    c = at("attach after removal", id, NULL, 0);
    printf("still: %s\n", c + 4090);
    if (fork() == 0) {
        status("in a child", id);
        _exit(0);
    }
    wait(NULL);
}

static void controlling(key_t k)
{
    struct shmid_ds ds;
    union {
        struct shminfo limits;
        struct shm_info usage;
        struct shmid_ds ds;
        char bytes[512];
    } buffer;
    int commands[] = {-1, 4, 5, 6, 7, 8, 9, 10, 16, 99, 0x100 | IPC_STAT, 0x7fffffff};
    int id = get("create", k, 100, IPC_CREAT | 0600);

    ctl("stat into NULL", id, IPC_STAT, NULL);
    ctl("stat into nonsense", id, IPC_STAT, (void *) 8);
    ctl("set from NULL", id, IPC_SET, NULL);
    ctl("stat of no id", 0x7fffffff, IPC_STAT, &ds);
    ctl("stat of a negative id", -1, IPC_STAT, &ds);
    ctl("remove no id", 0x7fffffff, IPC_RMID, NULL);
    ctl("remove a negative id", -1, IPC_RMID, NULL);
    ctl("stat", id, IPC_STAT, &ds);
    ds.shm_perm.mode = 07777 & 0444;
    ds.shm_segsz = 1;
    ctl("set the mode", id, IPC_SET, &ds);
    status("after that", id);
    ds.shm_perm.uid = (uid_t) -1;
    ctl("set no owner", id, IPC_SET, &ds);
    ctl("lock", id, SHM_LOCK, NULL);
    status("locked", id);
    ctl("unlock", id, SHM_UNLOCK, NULL);
    status("unlocked", id);
    memset(&buffer, 0, sizeof buffer);
    ctl("limits", 0, IPC_INFO, &buffer.ds);
    printf("limits: %lu %lu %lu %lu %lu\n", (unsigned long) buffer.limits.shmmax, (unsigned long) buffer.limits.shmmin,
           (unsigned long) buffer.limits.shmmni, (unsigned long) buffer.limits.shmseg, (unsigned long) buffer.limits.shmall);
    ctl("limits into NULL", 0, IPC_INFO, NULL);
    memset(&buffer, 0, sizeof buffer);
    ctl("usage", 0, SHM_INFO, &buffer.ds);
    printf("usage: at least one: %d\n", buffer.usage.used_ids > 0);
    errno = UNTOUCHED;
    printf("by index: %d\n", shmctl(id & 0x7fff, SHM_STAT, &ds) == id && errno == UNTOUCHED && ds.shm_segsz == 100);
    errno = UNTOUCHED;
    printf("by index, any: %d\n", shmctl(id & 0x7fff, 15, &ds) == id && errno == UNTOUCHED && ds.shm_segsz == 100);
    ctl("no such index", 0x7ffe, SHM_STAT, &ds);
    ctl("negative index", -1, SHM_STAT, &ds);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        printf("%d: ", commands[i]);
        ctl("unknown command", id, commands[i], &buffer.ds);
    }
    ctl("remove", id, IPC_RMID, NULL);
    ctl("remove what is gone", id, IPC_RMID, NULL);
    ctl("stat of what is gone", id, IPC_STAT, &ds);
    at("attach what is gone", id, NULL, 0);
}

/* splitmix64 */
static uint64_t seed;

static unsigned below(unsigned bound)
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned) ((z ^ (z >> 31)) % bound);
}

static void random_calls(void)
{
    enum { KEYS = 3, IDS = 8, ADDRESSES = 16 };
    static const size_t sizes[] = {0, 1, 100, 4096, 4097, 70000, SIZE_MAX, SIZE_MAX / 2};
    static const int flags[] = {0, 0600, IPC_CREAT | 0600, IPC_CREAT | 0400, IPC_CREAT | IPC_EXCL | 0666, IPC_CREAT, 0777, IPC_EXCL};
    static const int at_flags[] = {0, SHM_RDONLY, SHM_RND, SHM_RDONLY | SHM_RND, SHM_EXEC};
    int ids[IDS] = {0};
    char *addresses[ADDRESSES] = {0};

    for (int i = 0; i < IDS; i++) {
        ids[i] = -1;
    }
    for (int round = 0; round < 20000; round++) {
        int *id = &ids[below(IDS)];
        char **address = &addresses[below(ADDRESSES)];

        printf("%d ", round);
        switch (below(6)) {
        case 0:
            *id = get("get", ftok("shmfile", 1 + (int) below(KEYS)), sizes[below(8)], flags[below(8)]);
            break;
        case 1:
            if (*address == NULL) {
                void *attached = at("at", *id, NULL, at_flags[below(5)]);
                *address = attached == FAILED ? NULL : attached;
                break;
            } /* fall through */
        case 2:
            dt("dt", *address == NULL ? NULL : *address + (below(4) == 0 ? 4096 * below(2) + 1 : 0));
            if (errno == UNTOUCHED) {
                *address = NULL;
            }
            break;
        case 3:
            status("stat", *id);
            break;
        case 4:
            if (*address != NULL) {
                at("at in use", *id, *address + below(2), at_flags[below(5)]);
            } else {
                ctl("lock", *id, below(2) ? SHM_LOCK : SHM_UNLOCK, NULL);
            }
            break;
        default:
            if (below(3) == 0) {
                ctl("remove", *id, IPC_RMID, NULL);
            } else {
                get("look", ftok("shmfile", 1 + (int) below(KEYS)), 0, 0);
            }
        }
    }
    for (int i = 0; i < KEYS; i++) {
        shmctl(shmget(ftok("shmfile", 1 + i), 0, 0), IPC_RMID, NULL);
    }
    for (int i = 0; i < IDS; i++) { /* private segments, and those that have lost their key */
        shmctl(ids[i], IPC_RMID, NULL);
    }
}

static int minus_one(void)
{
    int id;

    if (unshare(CLONE_NEWIPC) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0) {
        return 77;
    }
    printf("the key: %d\n", ftok("no such file", 115));
    get("missing", -1, 1024, 0666);
    id = get("create", -1, 1024, IPC_CREAT | 0666);
    printf("the same: %d\n", id == get("again", ftok("no such file", 65), 1024, IPC_CREAT | 0666));
    status("the segment", id);
    ctl("remove", id, IPC_RMID, NULL);
    return 0;
}

static int stranger(key_t k)
{
    struct shmid_ds ds;
    int id, own;

    if (geteuid() != 0) {
        return 77;
    }
    id = get("create", k, 100, IPC_CREAT | 0640);
    ctl("stat", id, IPC_STAT, &ds);
    if (fork() == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(1);
        }
        get("open without asking for anything", k, 0, 0);
        get("open to read", k, 0, 0400);
        get("open to write", k, 0, 0200);
        get("create", k, 100, IPC_CREAT | 0600);
        at("attach", id, NULL, 0);
        at("attach to read", id, NULL, SHM_RDONLY);
        ctl("stat", id, IPC_STAT, &ds);
        ctl("stat any", id & 0x7fff, 15, &ds);
        ctl("set", id, IPC_SET, &ds);
        ctl("lock", id, SHM_LOCK, NULL);
        ctl("remove", id, IPC_RMID, NULL);
        own = get("a segment of its own that no user may use", IPC_PRIVATE, 100, 0);
        at("attach it", own, NULL, 0);
        ctl("stat it", own, IPC_STAT, &ds);
        ctl("remove it", own, IPC_RMID, NULL);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    ctl("remove", id, IPC_RMID, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    key_t k = ftok("shmfile", 115);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(what, "calls") == 0) {
        keys();
        opening(k);
        attaching(k);
        controlling(k);
        return 0;
    }
    if (strcmp(what, "random") == 0 && argc > 2) {
        seed = strtoull(argv[2], NULL, 10);
        random_calls();
        return 0;
    }
    if (strcmp(what, "minus-one") == 0) {
        return minus_one();
    }
    if (strcmp(what, "stranger") == 0) {
        return stranger(k);
    }
    fprintf(stderr, "usage: %s calls | random SEED | minus-one | stranger\n", argv[0]);
    return 2;
}
