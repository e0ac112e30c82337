/* What a program can notice of standard error, and of descriptors and signals, while it makes calls. It sets
 * up a situation, and runs itself anew in it: there, what is standard error when a program starts counts. */
#define _GNU_SOURCE
#include "five_calls.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { READER = 5 };

static void call(void)
{
    shmget(0x7b5a4321, 1, 0);
}

static _Noreturn void run(const char *situation)
{
    execl("/proc/self/exe", "observer", "inside", situation, (char *) NULL);
    _exit(3);
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

static void in_terminal(void)
{
    call();
}

static void set_up_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), terminal, status;
    struct termios settings;
    pid_t job;

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        exit(3);
    }
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
    int first = open("/dev/null", O_RDONLY), fd, count = 0;

    close(first);
    call();
    for (fd = 0; fd < 20; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    printf("%d first, %s more open\n", first, count <= 4 ? "at most 1" : "many");
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
    int fd, count = 0;

    call();
    for (fd = 3; fd < 4096; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    printf("%d more open\n", count);
}

int main(int argc, char **argv)
{
    const char *what = argv[argc - 1];

    if (argc > 2) {
        if (strcmp(what, "daemon") == 0) {
            in_daemon();
        } else if (strcmp(what, "jump") == 0) {
            in_jump();
        } else if (strcmp(what, "full") == 0) {
            in_full_pipe();
        } else if (strcmp(what, "terminal") == 0) {
            in_terminal();
        } else if (strcmp(what, "few") == 0) {
            in_few();
        } else {
            in_count();
        }
        return 0;
    }
    if (strcmp(what, "terminal") == 0) {
        set_up_terminal();
        return 0;
    }
    if (strcmp(what, "few") == 0) {
        set_up_few();
    }
    if (strcmp(what, "count") == 0) {
        closefrom(3);
        run(what);
    }
    make_pipe(strcmp(what, "daemon") != 0);
    run(what);
}
