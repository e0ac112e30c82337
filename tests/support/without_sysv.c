/* Runs a command for which the kernel has no System V shared memory: a seccomp filter refuses shmget, shmat, shmdt and
 * shmctl to it and to all processes that it starts.
 *
 *     without_sysv enosys|eperm|kill|trap COMMAND [ARGUMENT...]
 *
 * The first word says how the four calls end: with ENOSYS, as in a kernel that was built without System V IPC; with
 * EPERM, as in sandboxes; the process is killed; or it gets SIGSYS. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the filter needs the number that <linux/audit.h> gives this processor"
#endif

/* Copies a field of the call into the accumulator. */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Skips `count` instructions if the accumulator has this value, */
#define SKIP_IF(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (count), 0)
/* or if it has another one. */
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (count))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))

/* Installs the filter. */
static int refuse(unsigned int action)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        SKIP_UNLESS(ARCHITECTURE, 5),
        LOAD(nr),
        SKIP_IF(SYS_shmget, 4),
        SKIP_IF(SYS_shmat, 3),
        SKIP_IF(SYS_shmdt, 2),
        SKIP_IF(SYS_shmctl, 1),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(action),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -1;
    }
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        unsigned int action;
    } ways[] = {
        { "enosys", SECCOMP_RET_ERRNO | ENOSYS },
        { "eperm", SECCOMP_RET_ERRNO | EPERM },
        { "kill", SECCOMP_RET_KILL_PROCESS },
        { "trap", SECCOMP_RET_TRAP },
    };
    size_t way;

    for (way = 0; argc >= 3 && way < sizeof ways / sizeof *ways; way++) {
        if (strcmp(argv[1], ways[way].name) == 0) {
            if (refuse(ways[way].action) != 0) {
                perror("without_sysv: the filter");
                return 126;
            }
            execvp(argv[2], argv + 2);
            perror(argv[2]);
            return 127;
        }
    }
    fprintf(stderr, "usage: without_sysv enosys|eperm|kill|trap COMMAND [ARGUMENT...]\n");
    return 2;
}
