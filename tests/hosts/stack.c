/* Makes calls on small stacks: in handlers on a signal stack, each in a child of its own, and in a thread. It prints how much
 * of the stack the calls have used at most. */
#define _GNU_SOURCE
#include "five_calls.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEY = 0x7b5a4321, LARGE = 256 << 10, PAINT = 0xa5 };

static int key_of_segment, segment;
static void *attached;
/* Names of characters that become six each in JSON. */
static char long_path[4000], replaced[120];

static void all_calls(void)
{
    calls();
}

static void long_paths(void)
{
    ftok(long_path, 's');
    ftok(long_path + 3000, 's');
    ftok(long_path + 3900, 's');
    shmget(-1, 1, 0);
}

static void replaced_file(void)
{
    int key = ftok(replaced, 's');

    shmget(key, 1, 0);
    close(open("other", O_WRONLY | O_CREAT, 0600));
    rename("other", replaced);
    ftok(replaced, 's');
    shmget(key, 1, 0);
}

static void segment_in_use(void)
{
    shmget(key_of_segment, 1 << 20, 0);
    shmget(key_of_segment, 1, IPC_CREAT | IPC_EXCL | 0600);
    shmat(key_of_segment, NULL, 0);
    shmdt((char *) attached + 8);
}

static void odd_arguments(void)
{
    struct shmid_ds status;

    memset(&status, 0, sizeof status);
    status.shm_perm.uid = status.shm_perm.gid = 0x7ffffff1;
    shmctl(segment, IPC_SET, &status);
    status.shm_perm.uid = (unsigned) -1;
    shmctl(segment, IPC_SET, &status);
    shmctl(segment, 99, NULL);
    shmctl(segment, IPC_STAT, NULL);
    shmctl(shmget(IPC_PRIVATE, 1, 666), IPC_RMID, NULL);
    shmget(41020047, 1, 0);
    shmget(IPC_PRIVATE, 0, 0600);
    shmget(IPC_PRIVATE, (size_t) -1, 0600);
    shmget(IPC_PRIVATE, 1ul << 45, 0600 | SHM_HUGETLB);
    shmat(segment, (void *) 12345, 0);
    shmat(segment, attached, 0);
    shmat(segment, NULL, SHM_REMAP);
    shmat(segment, (void *) -8192, 0);
}

static void of_another_user(void)
{
    if (setgid(65534) == 0 && setuid(65534) == 0) {
        shmget(key_of_segment, 1, 0600);
        shmat(segment, NULL, 0);
        shmctl(segment, IPC_RMID, NULL);
        shmctl(segment, SHM_LOCK, NULL);
    }
}

static void (*const cases[])(void) = {
    all_calls, long_paths, replaced_file, segment_in_use, odd_arguments, of_another_user,
};
enum { CASES = sizeof cases / sizeof cases[0] };

static void (*wanted)(void);
static char *frame;

static void handler(int number)
{
    (void) number;
    frame = __builtin_frame_address(0);
    wanted();
}

/* The pipe that the result of a child comes through. */
static int ends[2];

/* The smallest thread ends the process, too, which leaves a segment and an attachment. */
static void *in_thread(void *used)
{
    wanted();
    shmat(shmget(KEY + 2, 1, IPC_CREAT | 0600), NULL, 0);
    if (write(ends[1], used, sizeof(long)) != sizeof(long)) {
        _exit(3);
    }
    exit(0);
}

/* Calls `wanted` on a signal stack of a size. Returns how many bytes it has used below the handler. */
static long on_signal_stack(size_t size)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    size_t guard = (size_t) sysconf(_SC_PAGESIZE), whole = (size + guard - 1) / guard * guard, i;
    char *room = mmap(NULL, guard + whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_size = size};

    if (room == MAP_FAILED || mprotect(room + guard, whole, PROT_READ | PROT_WRITE) != 0) {
        exit(3);
    }
    /* What lies below its lowest byte may be in its lowest page. */
    stack.ss_sp = room + guard;
    memset(room + guard, PAINT, whole);
    if (sigaltstack(&stack, NULL) != 0) {
        exit(3);
    }
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    for (i = 0; i < whole && (unsigned char) room[guard + i] == PAINT; i++) {
    }
    return frame - (room + guard + i);
}

/* Has a child make a case. Returns how much of the stack it has used, and ends the program if it dies. */
static long in_child(int number, size_t size)
{
    int status;
    long used = 0;
    pid_t child;

    if (pipe(ends) != 0) {
        exit(3);
    }
    child = fork();
    if (child == 0) {
        wanted = cases[number];
        if (size == 0) {
            pthread_attr_t small;
            pthread_t thread;

            pthread_attr_init(&small);
            if (pthread_attr_setstacksize(&small, (size_t) sysconf(_SC_THREAD_STACK_MIN)) != 0 ||
                pthread_create(&thread, &small, in_thread, &used) != 0) {
                _exit(3);
            }
            pthread_join(thread, NULL);
        } else {
            used = on_signal_stack(size);
        }
        _exit(write(ends[1], &used, sizeof used) == sizeof used ? 0 : 3);
    }
    waitpid(child, &status, 0);
    if (status != 0 || read(ends[0], &used, sizeof used) != sizeof used) {
        printf("case %d with %lu bytes: signal %d, status %d\n", number, (unsigned long) size, WTERMSIG(status),
               WEXITSTATUS(status));
        exit(1);
    }
    close(ends[0]);
    close(ends[1]);
    shmctl(shmget(KEY + 2, 0, 0), IPC_RMID, NULL);
    return used;
}

int main(int argc, char **argv)
{
    long used, most = 0;
    size_t stack;
    int number;

    (void) argv;
    memset(long_path, 1, sizeof long_path - 1);
    memset(replaced, 1, sizeof replaced - 1);
    close(open(replaced, O_WRONLY | O_CREAT, 0600));
    chmod(".", 0777);
    key_of_segment = KEY + 1;
    segment = shmget(key_of_segment, 4096, IPC_CREAT | 0600);
    attached = shmat(segment, NULL, 0);
    for (number = 0; number < CASES; number++) {
        used = in_child(number, LARGE);
        most = used > most ? used : most;
        if (argc > 1) {
            printf("case %d: %ld\n", number, used);
        }
    }
    printf("%ld bytes\n", most);
    fflush(stdout);
    /* The recommended size grows with the processor's registers, but a traced call may need 9 KiB beside the signal's
       frame. */
    stack = (size_t) sysconf(_SC_SIGSTKSZ);
    stack = stack < 12 << 10 ? 12 << 10 : stack;
    for (number = 0; number < CASES && argc == 1; number++) {
        in_child(number, stack);
        in_child(number, 0);
    }
    shmdt(attached);
    shmctl(segment, IPC_RMID, NULL);
    return 0;
}
