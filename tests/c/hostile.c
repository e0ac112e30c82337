/*
 * The C API as a careless or hostile program uses it: each bad argument gives -1 or NULL, the right errno and a sentence, and never a crash; and
 * the same API used well. Prints what is wrong, and nothing if all is right.
 *
 * It runs in a directory whose keys are its own, with a file "shmfile" in it.
 */
#define _GNU_SOURCE
#include "check.h"
#include <limits.h>
#include <pthread.h>
#include <sys/shm.h>

static void opening(void)
{
    static char long_name[5000];
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    char *room = page_before_nothing();
    int id, same;

    FAILS_SAYING(shm_open_key("no such file", 1, 100, MAKE), ENOENT, "file does not exist");
    FAILS(shm_open_key("shmfile/below", 1, 100, MAKE), ENOTDIR);
    FAILS(shm_open_key("", 1, 100, MAKE), ENOENT);
    FAILS(shm_open_key("shmfile", 0, 100, MAKE), EINVAL);
    FAILS(shm_open_key("shmfile", 256, 100, MAKE), EINVAL);
    FAILS(shm_open_key("shmfile", INT_MIN, 100, MAKE), EINVAL);
    FAILS(shm_open_key((const char *) 8, 1, 100, MAKE), EFAULT);
    FAILS(shm_open_key((const char *) -1, 1, 100, MAKE), EFAULT);
    memset(room, 'x', page);
    FAILS(shm_open_key(room, 1, 100, MAKE), ENAMETOOLONG);
    FAILS(shm_open_key(room + 1, 1, 100, MAKE), EFAULT);
    FAILS(shm_open_key("shmfile", 1, 100, 0600), ENOENT);
    FAILS(shm_open_key("shmfile", 1, 0, MAKE), EINVAL);
    FAILS_SAYING(shm_open_key("shmfile", 1, (size_t) -1, MAKE), EINVAL, "negative");
    FAILS(shm_open_key("shmfile", 1, (size_t) INT_MIN, MAKE), EINVAL);
    FAILS(shm_open_key("shmfile", 1, (size_t) LONG_MIN, MAKE), EINVAL);
    FAILS(shm_open_key("shmfile", 1, 100, MAKE | 0x40000), EINVAL);
    FAILS(shm_open_key("shmfile", 1, 100, -1), EINVAL);
    FAILS(shm_open_key("shmfile", 1, 100, INT_MIN), EINVAL);
    FAILS(shm_open_key("shmfile", 1, 100, MAKE | (21 << 26)), EINVAL);

    FAILS(shm_open_name(NULL, 100, MAKE), EFAULT);
    FAILS(shm_open_name("", 100, MAKE), EINVAL);
    FAILS(shm_open_name((const char *) 8, 100, MAKE), EFAULT);
    FAILS(shm_open_name((const char *) -1, 100, MAKE), EFAULT);
    FAILS(shm_open_name(room + 1, 100, MAKE), EFAULT);
    memset(long_name, 'x', sizeof long_name - 1);
    FAILS(shm_open_name(long_name, 100, MAKE), ENAMETOOLONG);
    FAILS(shm_open_private(0, 0600), EINVAL);
    FAILS(shm_open_private((size_t) -4096, 0600), EINVAL);
    FAILS(shm_open_private(100, 0600 | 0x100000), EINVAL);

    id = shm_open_key("shmfile", 1, 100, MAKE);
    CHECK(id >= 0);
    CHECK(id == shmget(ftok("shmfile", 1), 0, 0));
    same = shm_open_key("./shmfile", 'a' * 256 + 1, 0, 0);
    CHECK(same == id);
    FAILS(shm_open_key("shmfile", 1, 101, 0600), EINVAL);
    SAYS("100 bytes");
    SAYS("101 bytes");
    FAILS(shm_open_key("shmfile", 1, 100, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK(id == shm_open_key_number(ftok("shmfile", 1), 100, MAKE));
    WORKS(shm_remove(id));
    FAILS(shm_open_key("shmfile", 1, 0, 0), ENOENT);

    /* A name that ends with memory, in the last byte of a page. */
    room[page - 2] = (char) getpid();
    room[page - 1] = '\0';
    id = shm_open_name(room + page - 40, 100, IPC_CREAT | IPC_EXCL | 0600);
    CHECK(id >= 0);
    CHECK(id == shm_open_name(room + page - 40, 0, 0));
    WORKS(shm_remove(id));
    munmap(room, 2 * page);

    id = shm_open_key(NULL, 0, 100, 0600);
    same = shm_open_key(NULL, 1, 100, IPC_CREAT | IPC_EXCL | 0600);
    CHECK(id >= 0 && same >= 0 && id != same);
    WORKS(shm_remove(id));
    WORKS(shm_remove(same));
}

static void attaching(void)
{
    int id = shm_open_private(5000, 0600);
    char *a, *b, *plain, *room;
    size_t size = 1;
    struct shm_status status;

    FAILS_NULL(shm_attach(-1, 0), EINVAL);
    FAILS_NULL(shm_attach(INT_MAX, 0), EINVAL);
    FAILS_NULL(shm_attach(INT_MIN, 0), EINVAL);
    FAILS_NULL(shm_attach(id, 1), EINVAL);
    FAILS_NULL(shm_attach(id, -1), EINVAL);
    FAILS_NULL(shm_attach(id, SHM_REMAP), EINVAL);
    FAILS_NULL(shm_attach_huge(-1, 0), EINVAL);
    FAILS_NULL(shm_attach_huge(id, SHM_REMAP), EINVAL);
    FAILS_NULL(shm_attach_at(id, (void *) 4097, 0), EINVAL);
    CHECK(shm_attach_at(id, (void *) 1, SHM_RND) == NULL); /* EINVAL, or EPERM where a user may not map page 0 */
    WORKS(shm_get_status(id, &status));
    CHECK(status.nattch == 0);

    a = shm_attach(id, 0);
    b = shm_attach(id, SHM_RDONLY);
    plain = shmat(id, NULL, 0);
    CHECK(a != NULL && b != NULL && a != b);
    strcpy(a, "one segment");
    CHECK(strcmp(b, "one segment") == 0 && strcmp(plain, "one segment") == 0);
    FAILS_NULL_SAYING(shm_attach_at(id, a, 0), EINVAL, "are mapped already");

    WORKS(shm_attached_size(a, &size));
    CHECK(size == 5000);
    WORKS(shm_attached_size(b, &size));
    size = 1;
    WORKS(shm_attached_size(plain, &size));
    CHECK(size == 5000);
    size = 1;
    FAILS(shm_attached_size(NULL, &size), EINVAL);
    FAILS(shm_attached_size(a + 1, &size), EINVAL);
    FAILS(shm_attached_size(a + 4096, &size), EINVAL);
    FAILS(shm_attached_size(&size, &size), EINVAL);
    FAILS(shm_attached_size((void *) -1, &size), EINVAL);
    CHECK(size == 1);
    FAILS(shm_attached_size(a, NULL), EFAULT);
    FAILS(shm_attached_size(a, (size_t *) 8), EFAULT);
    FAILS(shm_attached_size(a, (size_t *) (void *) b), EFAULT); /* read only */

    WORKS(shm_prefault(a));
    WORKS(shm_prefault(b));
    CHECK(strcmp(b, "one segment") == 0);
    FAILS(shm_prefault(NULL), EINVAL);
    FAILS(shm_prefault(a + 4096), EINVAL);
    FAILS(shm_prefault(&size), EINVAL);

    FAILS_SAYING(shm_detach(NULL), EINVAL, "the address is NULL");
    FAILS(shm_detach(a + 1), EINVAL);
    FAILS(shm_detach(a + 4096), EINVAL);
    FAILS(shm_detach(&size), EINVAL);
    FAILS(shm_detach((void *) -1), EINVAL);
    FAILS(shm_detach((void *) 4096), EINVAL);
    WORKS(shm_detach(a));
    FAILS(shm_detach(a), EINVAL);
    FAILS(shm_attached_size(a, &size), EINVAL);
    CHECK(shm_attach_at(id, a, 0) == a);
    CHECK(strcmp(a, "one segment") == 0);
    WORKS(shm_detach(a));
    CHECK(shm_attach_at(id, a + 7, SHM_RND | SHM_RDONLY) == a);
    WORKS(shm_detach(a));
    WORKS(shm_detach(plain));
    room = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAILS_NULL(shm_attach_at(id, room, 0), EINVAL);
    CHECK(shm_attach_at(id, room, SHM_REMAP) == room);
    WORKS(shm_detach(room));

    WORKS(shm_remove(id));
    CHECK(strcmp(b, "one segment") == 0);
    CHECK((plain = shm_attach(id, 0)) != NULL);
    WORKS(shm_detach(plain));
    WORKS(shm_detach(b));
    FAILS_NULL(shm_attach(id, 0), EINVAL);
    FAILS(shm_remove(id), EINVAL);
    FAILS(shm_remove(-1), EINVAL);
    FAILS(shm_remove(INT_MAX), EINVAL);

    id = shm_open_private(5u << 20, 0600);
    errno = 4242;
    a = shm_attach_huge(id, 0);
    CHECK(errno == 4242);
    CHECK(a != NULL && (uintptr_t) a % (2u << 20) == 0);
    a[(5u << 20) - 1] = 'x';
    WORKS(shm_attached_size(a, &size));
    CHECK(size == 5u << 20);
    WORKS(shm_prefault(a));
    WORKS(shm_detach(a));
    b = shm_attach_huge(id, SHM_RDONLY);
    CHECK(b != NULL && b[(5u << 20) - 1] == 'x');
    WORKS(shm_detach(b));
    WORKS(shm_remove(id));
}

static void asking(void)
{
    struct shm_status status;
    char *room = page_before_nothing();
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    int id = shm_open_key("shmfile", 2, 5000, IPC_CREAT | 0640);
    int other;
    char *a;

    FAILS(shm_get_status(-1, &status), EINVAL);
    FAILS(shm_get_status(INT_MAX, &status), EINVAL);
    FAILS(shm_get_status(id, NULL), EFAULT);
    FAILS(shm_get_status(id, (struct shm_status *) 8), EFAULT);
    memset(room, 0x77, page);
    FAILS(shm_get_status(id, (struct shm_status *) (void *) (room + page - sizeof status + 8)), EFAULT);
    FAILS(shm_get_status(id, (struct shm_status *) (void *) (room + page - 8)), EFAULT);
    other = shm_open_private(1, 0600);
    a = shm_attach(other, 0);
    WORKS(shm_remove(other));
    FAILS(shm_attached_size(a, (size_t *) (void *) (room + page - 4)), EFAULT);
    WORKS(shm_detach(a));
    for (size_t i = 0; i < page; i++) {
        CHECK(room[i] == 0x77); /* nothing was stored */
    }
    WORKS(shm_get_status(id, (struct shm_status *) (void *) (room + page - sizeof status)));
    munmap(room, 2 * page);

    memset(&status, 0x55, sizeof status);
    WORKS(shm_get_status(id, &status));
    CHECK(status.id == id && status.key == ftok("shmfile", 2) && status.size == 5000 && status.nattch == 0);
    CHECK(status.mode == 0640 && status.uid == geteuid() && status.gid == getegid());
    CHECK(status.cuid == geteuid() && status.cgid == getegid() && status.cpid == getpid() && status.lpid == 0);
    CHECK(status.atime == 0 && status.dtime == 0 && status.ctime > 1600000000 && !status.removed && !status.locked);
    for (size_t i = 0; i < sizeof status.reserved; i++) {
        CHECK(status.reserved[i] == 0);
    }
    a = shm_attach(id, 0);
    WORKS(shm_remove(id));
    WORKS(shm_get_status(id, &status));
    CHECK(status.nattch == 1 && status.removed == 1 && status.key == 0 && status.lpid == getpid() && status.atime > 0);
    CHILD {
        WORKS(shm_get_status(id, &status));
        CHECK(status.nattch == 2);
        WORKS(shm_detach(a));
    }
    wait_for_child();
    WORKS(shm_get_status(id, &status));
    CHECK(status.nattch == 1);
    WORKS(shm_detach(a));
    FAILS(shm_get_status(id, &status), EINVAL);
}

static void *another_thread(void *unused)
{
    (void) unused;
    CHECK(strcmp(shm_last_error(), "no error") == 0);
    FAILS(shm_remove(-1), EINVAL);
    return NULL;
}

int main(void)
{
    char version[40];
    pthread_t thread;

    CHECK(strcmp(shm_last_error(), "no error") == 0);
    snprintf(version, sizeof version, "%d.%d.%d", SHMKEY_VERSION_MAJOR, SHMKEY_VERSION_MINOR, SHMKEY_VERSION_PATCH);
    CHECK(strcmp(shm_version(), version) == 0);
    CHECK(shm_this_process() != 0 && shm_this_process() == shm_this_process());

    opening();
    attaching();
    asking();

    FAILS(shm_open_name("", 1, 0), EINVAL);
    CHECK(pthread_create(&thread, NULL, another_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    SAYS("empty name"); /* the other thread has its own */
    return wrong;
}
