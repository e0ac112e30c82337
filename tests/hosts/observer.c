/* What a program can notice of standard error, descriptors and signals while it makes calls. It sets up a situation and then
 * runs itself again in it, because the library looks at standard error when a program starts. */
#define _GNU_SOURCE
#include "five_calls.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { READER = 5 };

static const char *situation;

static void call(void)
{
    shmget(0x7b5a4321, 1, 0);
}

static _Noreturn void run(const char *name)
{
    execl("/proc/self/exe", "observer", "inside", name, (char *) NULL);
    _exit(3);
}

/* How many descriptors are open from one number up to another. */
static int open_descriptors(int first, int last)
{
    int fd, count = 0;

    for (fd = first; fd < last; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static int new_master(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        exit(3);
    }
    return master;
}

/* Makes standard error a pipe, whose other end has the number READER. */
static void make_pipe(int full)
{
    static char page[4096];
    int ends[2];

    if (pipe(ends) != 0) {
        exit(3);
    }
    dup2(ends[0], READER);
    dup2(ends[1], 2);
    closefrom(READER + 1);
    close(3);
    close(4);
    if (full) {
        fcntl(2, F_SETFL, O_NONBLOCK);
        while (write(2, page, sizeof page) > 0) {
        }
        fcntl(2, F_SETFL, 0);
    }
}

/* How many descriptors lead to a file. */
static int leading_to(const struct stat *file)
{
    struct stat other;
    int fd, count = 0;

    for (fd = 0; fd < 4096; fd++) {
        count += fstat(fd, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
    }
    return count;
}

static void in_daemon(void)
{
    struct stat file;
    int out = dup(1);

    fstat(2, &file);
    close(READER);
    call();
    if (fork() > 0) {
        wait(NULL);
        return;
    }
    if (daemon(0, 0) != 0) {
        _exit(1);
    }
    call();
    dprintf(out, "%d left open\n", leading_to(&file));
    _exit(0);
}

static sigjmp_buf out_of_handler;
static volatile sig_atomic_t left_handler;

static void leave(int number)
{
    (void) number;
    if (!left_handler) {
        left_handler = 1;
        siglongjmp(out_of_handler, 1);
    }
}

/* The trace has no room: untraced, and traced to a file, the handler comes anywhere. */
static void in_jump(void)
{
    struct sigaction action = {.sa_handler = leave, .sa_flags = SA_NODEFER};
    struct itimerval often = {{0, 2000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    sigset_t mask;
    static int number, blocked;

    sigaction(SIGALRM, &action, NULL);
    if (sigsetjmp(out_of_handler, 0) == 0) {
        setitimer(ITIMER_REAL, &often, NULL);
        while (1) {
            call();
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (number = 1; number < 32; number++) {
        blocked += sigismember(&mask, number);
    }
    printf("%d blocked\n", blocked);
    fflush(stdout);
}

static void in_full_pipe(void)
{
    static char text[1 << 17];
    size_t i;
    ssize_t len;

    for (i = 0; i < 3; i++) {
        call();
    }
    fcntl(READER, F_SETFL, O_NONBLOCK);
    while (read(READER, text, sizeof text) > 0) {
    }
    call();
    len = read(READER, text, sizeof text - 1);
    text[len < 0 ? 0 : len] = '\0';
    printf("went on%s%s\n", strstr(text, "has lost 3 lines") != NULL ? ", 3 lost" : "",
           strstr(text, "shmget(") != NULL ? ", traced" : "");
}

/* Lines of two lengths, of which the last page of the pipe has room for the short ones alone. */
static void make_long_and_short_calls(void)
{
    static char path[2001];
    int i;

    for (i = 0; i < 2000; i++) {
        path[i] = i % 2 == 0 ? '/' : '.';
    }
    for (i = 0; i < 5; i++) {
        ftok(path, 1);
        shmdt(NULL);
    }
}

/* Whether a process has entered ppoll, and gives it time. */
static int gives_time(pid_t process)
{
    struct __ptrace_syscall_info call;
    unsigned char *time;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, process, sizeof call, &call) <= 0 || call.op != PTRACE_SYSCALL_INFO_ENTRY
        || call.entry.nr != SYS_ppoll) {
        return 0;
    }
    time = (unsigned char *) (uintptr_t) call.entry.args[2]; /* seconds, nanoseconds */
    return ptrace(PTRACE_PEEKDATA, process, time, NULL) != 0
           || ptrace(PTRACE_PEEKDATA, process, time + sizeof (long), NULL) != 0;
}

/* Nothing reads the pipe, and its last page has some room. */
static void in_stalled_pipe(void)
{
    static char page[4096];
    int status, count = 0;
    pid_t child;

    if (read(READER, page, sizeof page) != sizeof page || write(2, page, sizeof page - 1000) < 0) {
        exit(3);
    }
    child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        make_long_and_short_calls();
        _exit(0);
    }
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    while (ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child
           && WIFSTOPPED(status)) {
        count += gives_time(child);
    }
    printf("%d with time\n", count);
}

static void set_up_terminal(void)
{
    int master = new_master(), terminal, status;
    struct termios settings;
    pid_t job;

    if (fork() > 0) {
        wait(NULL);
        return;
    }
    setsid();
    terminal = open(ptsname(master), O_RDWR);
    tcgetattr(terminal, &settings);
    settings.c_lflag |= TOSTOP;
    tcsetattr(terminal, TCSANOW, &settings);
    job = fork();
    if (job == 0) {
        setpgid(0, 0);
        dup2(terminal, 2);
        run("terminal");
    }
    waitpid(job, &status, WUNTRACED);
    dprintf(1, "%s\n", WIFSTOPPED(status) ? "stopped" : "ended");
    kill(job, SIGKILL);
    _exit(0);
}

static void in_few(void)
{
    int first = open("/dev/null", O_RDONLY);

    close(first);
    call();
    printf("%d first, %s more open\n", first, open_descriptors(0, 20) <= 4 ? "at most 1" : "many");
}

static void set_up_few(void)
{
    struct rlimit limit = {20, 20};

    closefrom(3);
    setrlimit(RLIMIT_NOFILE, &limit);
    run("few");
}

static void in_count(void)
{
    call();
    printf("%d more open\n", open_descriptors(3, 4096));
}

/* Returns how many lines of calls a descriptor gives that does not wait. */
static int lines_of_calls(int fd)
{
    static char text[1 << 16];
    ssize_t len;
    size_t all = 0;
    int count = 0;
    char *at;

    while ((len = read(fd, text + all, sizeof text - 1 - all)) > 0) {
        all += (size_t) len;
    }
    text[all] = '\0';
    for (at = text; (at = strstr(at, "shmget(")) != NULL; at++) {
        count++;
    }
    return count;
}

/* Standard error is the terminal of a session that a child leaves. It gets another one. */
static void in_session(void)
{
    int master;

    if (fork() > 0) {
        wait(NULL);
        return;
    }
    setsid();
    call();
    master = new_master();
    if (open(ptsname(master), O_RDWR) < 0 || ioctl(2, TIOCGWINSZ, &(struct winsize){0}) != 0) {
        _exit(3);
    }
    call();
    dprintf(1, "%d on another terminal\n", lines_of_calls(master));
    _exit(0);
}

static void set_up_session(void)
{
    int master = new_master(), said[2];
    char text[100] = "";
    ssize_t len;

    if (pipe(said) != 0) {
        exit(3);
    }
    if (fork() == 0) {
        setsid();
        dup2(said[1], 1);
        open(ptsname(master), O_RDWR);
        dup2(open("/dev/tty", O_RDWR), 2);
        run("session");
    }
    /* Before the terminal has no other end any more, it is read. */
    len = read(said[0], text, sizeof text - 1);
    printf("%d lines, %.*s", lines_of_calls(master), (int) len, text);
    fflush(stdout);
    wait(NULL);
}

static void in_lowered(void)
{
    struct rlimit limit = {100, 100};
    char name[100];
    pid_t child;

    setrlimit(RLIMIT_NOFILE, &limit);
    child = fork();
    if (child == 0) {
        call();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    snprintf(name, sizeof name, "trace.%d", (int) child);
    printf("%d lines\n", lines_of_calls(open(name, O_RDONLY)));
}

static void in_vfork(void)
{
    int i, before;
    pid_t child;

    call();
    before = open_descriptors(0, 4096);
    for (i = 0; i < 5; i++) {
        child = vfork();
        if (child == 0) {
            call();
            _exit(0);
        }
        waitpid(child, NULL, 0);
        call();
    }
    printf("%d more open\n", open_descriptors(0, 4096) - before);
}

/* How often a signal is pending. */
static int times_pending(int number)
{
    struct timespec now = {0, 0};
    sigset_t set;
    int times = 0;

    sigemptyset(&set);
    sigaddset(&set, number);
    while (sigtimedwait(&set, NULL, &now) == number) {
        times++;
    }
    return times;
}

/* The trace cannot be written. The signals that say so are pending for the process, for the thread, and not at all. */
static void in_pending(void)
{
    struct rlimit none = {0, 0};
    sigset_t set;
    int round;

    close(READER);
    setrlimit(RLIMIT_FSIZE, &none);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (round = 0; round < 3; round++) {
        if (fork() == 0) {
            if (round == 0) {
                kill(getpid(), SIGPIPE);
                kill(getpid(), SIGXFSZ);
            } else if (round == 1) {
                raise(SIGPIPE);
                raise(SIGXFSZ);
            }
            call();
            dprintf(1, "%d %d%s", times_pending(SIGPIPE), times_pending(SIGXFSZ), round < 2 ? ", " : "\n");
            _exit(0);
        }
        wait(NULL);
    }
    _exit(0);
}

static void set_up_pipe(void)
{
    make_pipe(0);
    run(situation);
}

static void set_up_full_pipe(void)
{
    make_pipe(1);
    run(situation);
}

static void set_up_no_descriptors(void)
{
    closefrom(3);
    run(situation);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*set_up)(void), (*inside)(void);
    } situations[] = {
        {"daemon", set_up_pipe, in_daemon},          {"jump", set_up_full_pipe, in_jump},
        {"full", set_up_full_pipe, in_full_pipe},    {"stalled", set_up_full_pipe, in_stalled_pipe},
        {"terminal", set_up_terminal, call},         {"few", set_up_few, in_few},
        {"session", set_up_session, in_session},     {"lowered", set_up_no_descriptors, in_lowered},
        {"vfork", set_up_no_descriptors, in_vfork},  {"pending", set_up_pipe, in_pending},
        {"count", set_up_no_descriptors, in_count},
    };

    situation = argv[argc - 1];
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++) {
        if (strcmp(situation, situations[i].name) == 0) {
            (argc > 2 ? situations[i].inside : situations[i].set_up)();
            return 0;
        }
    }
    return 3;
}
