/*
 * shmkey.h - System V shared memory in a few calls, from C and C++.
 *
 *     #include <shmkey.h>
 *     #include <stdio.h>
 *     #include <sys/shm.h>                      // the flags: IPC_CREAT, SHM_RDONLY, ...
 *
 *     int   id   = shm_open_name("greeting", 1024, IPC_CREAT | 0600);
 *     char *text = id < 0 ? NULL : shm_attach(id, 0);
 *     if (text == NULL) { fprintf(stderr, "%s\n", shm_last_error()); return 1; }
 *     snprintf(text, 1024, "hello");            // any process that opens "greeting" reads it
 *     shm_detach(text);
 *     shm_remove(id);                           // it stays until somebody does this
 *
 * Link with -lshmkey (libshmkey.so) or name libshmkey.a on the command line.
 *
 * FAILURE is -1, or NULL where an address is returned, with errno set as the manual pages of the
 *   System V calls set it, and a sentence for a person in shm_last_error(). On success errno is
 *   left alone. Bad arguments (NULL, addresses to detach where nothing is attached, ids that do not
 *   exist, undefined flags, structures with any numbers in them) are failures and never crash. A
 *   pointer other than NULL must lead to memory of the kind that the function asks for: one to a
 *   handle, a structure or a buffer is followed, and if it leads nowhere, the program gets SIGSEGV.
 *   The library prints nothing.
 * OWNERSHIP: a segment belongs to nobody and outlives its processes; shm_remove() removes it. What
 *   shm_attach() returns belongs to the process, until shm_detach(), exec or its end. Strings that
 *   are returned belong to the library.
 * THREADS: every function may be called from any thread at any time; with one and the same ring or
 *   publisher by one at a time, as said there. errno and shm_last_error() are each thread's own.
 *   An object is closed when no other thread is in a call on it any more: a thread that was woken
 *   can be back before the call that woke it. (Only shm_semaphore_post() touches nothing after it.)
 * FORK: a child inherits what is attached, and the kernel counts it. The library keeps no state
 *   that a fork could break. A child that shares its parent's memory (vfork(), or clone() with
 *   CLONE_VM and without CLONE_THREAD) cannot be told from its parent, and must not use objects.
 * OBJECTS - shm_mutex, shm_semaphore, shm_latest, shm_ring - are what processes wait for each other
 *   with. All processes open one by the same call: the first makes it, the others wait for that, 5
 *   seconds at most, and should the maker die, another one takes over. C and Rust share them. They
 *   survive the death of any process at any instruction.
 *   name: 1 to 256 bytes and a NUL. flags: IPC_CREAT to make what is not there, with the permission
 *   bits of the new segment, 0600 at least; 0 to open what exists. Instead of by name, each can be
 *   opened by a path and a project id (..._open_key, see shm_open_key(); the object records the file,
 *   so another file that gives the same key is ENOTUNIQ), or in a segment that
 *   exists (..._open_in: its id, and an offset, a multiple of 64, where the bytes are 0 at first;
 *   without IPC_CREAT it waits until another process makes the object there, 5 seconds at most).
 *   SHM_RDONLY in the flags opens a latest value for reading only: the segment is attached so, and
 *   this process can neither write nor create it, IPC_CREAT or not. Without a segment that is ENOENT;
 *   an object that another process is making is waited for. The other objects are written by every
 *   process that uses them: EACCES.
 *   IPC_EXCL and what else shmget() knows are not for objects. A segment whose bytes are all 0 is
 *   taken for new, whoever created it; that objects in one segment do not overlap is the caller's
 *   to see to.
 *   timeout: nanoseconds on the monotonic clock; 0 is one try, which fails with EAGAIN; -1 is for
 *   ever. Time that is over is ETIMEDOUT; less than -1 is EINVAL. Signals do not end a wait.
 *   The segment is an ordinary one: it stays until shm_remove(shm_..._id(object)), which frees the
 *   name at once. Processes that have the object open go on with it; one that opens the name
 *   afterwards gets another object, and meets none of them. shm_..._removed() says whether that has
 *   happened: a process that runs for a long time calls it now and then, or after a timeout, and if
 *   so closes the object and opens it anew.
 *   Errors of opening, besides those of shm_open_name() and shm_attach(): EMEDIUMTYPE the segment
 *   was not made by this library; EPROTOTYPE it holds an object of another kind; EPROTO of another
 *   size, layout or options; EPROTONOSUPPORT another version of this library made it; ENOEXEC one
 *   for another architecture; ENOTUNIQ another name, or another path and project id, gives this key;
 *   ENODATA it is too small for an object; EBADMSG its header is malformed; ETIMEDOUT the process
 *   that makes it is alive and has not finished; EACCES the segment's mode does not let this process
 *   write (reading is enough for a latest value); EINVAL flags, name, size, offset.
 *   Closing NULL does nothing; any other use of NULL is EFAULT. A handle must not be used after it
 *   was closed. A child made by fork() may use what its parent opened, and closes its own copy;
 *   what a parent has locked, or what part it plays, is not the child's.
 * SIGNALS: shm_attach(), shm_attach_at(), shm_detach(), shm_remove(), shm_open_key(),
 *   shm_open_private() and shm_open_raw() may be called in a signal handler: they neither lock nor
 *   allocate, and a failure maps a page or two. (Where a process had 32 keys of pthread_key_create(3)
 *   before it loaded the library with dlopen(3), a thread's first failure allocates; let it fail once
 *   outside of the handler.) They leave nothing behind but errno and the text of
 *   shm_last_error(), so a handler that can fail should save and restore errno. The others, and all
 *   functions of objects, may not.
 * ABORTS: none on purpose, on any input. Access beyond a segment's size, or after it was detached,
 *   is the program's own: it meets the rest of the last page, other memory, or SIGSEGV, as ever.
 *   In a program that loads this library by dlopen(), or by a plugin that needs or holds it, a thread's
 *   first lock or unlock of a mutex, reserved slot, or message into a ring of many senders allocates
 *   some bytes, for what the thread knows of itself; without memory, glibc ends the process
 *   ("cannot allocate memory for thread-local data"). A program that is linked with the library has
 *   them from a thread's start. Elsewhere, a thread that must go on without memory locks and unlocks
 *   a mutex, any one, when it begins.
 * NOT SYNCHRONISED: plain segments. Bytes that one process writes, another sees at once, one by
 *   one and in any order. Programs must agree on when a value is complete, or use an object.
 *
 * Names are those of shmget(2), shmop(2) and shmctl(2): key, id, segment, attach, nattch, owner,
 * creator. In strict ISO modes (-std=c99) define _XOPEN_SOURCE as 700 before you include
 * <sys/shm.h>, as that header demands.
 *
 * Made by cbindgen from src/capi; changes made here are lost.
 */

/* Marks functions that return what they have acquired, or a failure: the compiler warns where the result is ignored. */
#if defined(__GNUC__) && !defined(SHMKEY_MUST_USE)
#define SHMKEY_MUST_USE __attribute__((warn_unused_result))
#elif !defined(SHMKEY_MUST_USE)
#define SHMKEY_MUST_USE
#endif


#ifndef SHMKEY_H
#define SHMKEY_H

#include <stddef.h>
#include <stdint.h>

// A flag of shm_ring_open(): up to 64 processes send at a time. Each of them gets its turn.
#define SHM_MANY_SENDERS 65536

// A flag of shm_ring_open(): a sender without room drops the oldest messages instead of waiting.
#define SHM_DROP_OLDEST 131072

// The version of this header. shm_version() tells that of the library in use.
#define SHMKEY_VERSION_MAJOR 0

// The second number: new functions, nothing taken away (before 1.0: anything may change).
#define SHMKEY_VERSION_MINOR 1

// The third number: corrections.
#define SHMKEY_VERSION_PATCH 0

// The newest value of something: one process publishes it, any number of processes read it, and
// nobody waits for anybody. What readers see is whole and the newest; those in between may never
// be seen.
//
// The first process that publishes is the publisher until it closes the object or ends; then another
// one can be. Killed at any instruction, it leaves the last value that it has published. Read
// permission on the segment is enough to read; a reader with SHM_RDONLY in its flags gets memory
// that it cannot write, whatever the permissions are. A reader that cannot write is not woken when it
// waits: it notices a newer value within 8 ms during the first 100 ms, and within 250 ms later.
// Threads: reading and waiting by any number at a time; publishing by one at a time.
typedef struct shm_latest shm_latest;

// A robust mutex around some bytes: one thread of one process has them at a time, and they survive
// its death. The next one is told, and puts them in order.
//
// A lock of a process in another PID namespace is recovered when that process has ended. For this, a
// process outside of the initial PID namespace, or one that shares an object with processes of other
// namespaces, keeps a segment of one byte, a token of life, which ipcs(1) shows with the status dest.
// The lock of an owner whose state is unknown is not recovered: across namespaces, that is a thread
// that died while its process lives, and a process of the initial namespace that took the lock before
// the first process of another namespace opened the mutex. Unlock before exec: a token ends with it,
// and without one the new program has the lock.
//
// A thread that comes when the mutex is unlocked locks it before those that sleep; one that has waited
// for 50 ms is next. A thread that waits notices the death of the owner within 10 ms during the
// first 100 ms, and within 300 ms later.
typedef struct shm_mutex shm_mutex;

// Messages from one process to another: of any length up to the ring's capacity, in order, and
// none lost.
//
// The first process that sends is the sender, and the first that receives is the receiver, until it
// closes the ring (or calls shm_ring_end_sending, shm_ring_end_receiving), or ends; then another
// process can take that part, also after one that was killed. What was sent stays, also when nobody
// is there. A ring that was opened with SHM_MANY_SENDERS has up to 64 senders.
//
// A message that was committed is received, whatever dies; one that was not is never seen. A
// message that the receiver had not released when it died is received by the next one.
//
// When all senders have ended, a receiver gets what is left and then EPIPE; if one of them died
// instead, EOWNERDEAD. A sender that has to wait for room is told the same of the receiver. That goes
// for those who have come so far: before the first one comes, it is waited for; after the last one has
// ended, whoever still expects another one tries again later.
//
// Threads: one sends with a handle, and one receives with it, at a time.
// Memory: 1568 bytes and the capacity; each message takes 8 bytes and its length rounded up to a
// multiple of 8 (16 bytes and that, above 16 KiB).
typedef struct shm_ring shm_ring;

// A counting semaphore in shared memory: shm_semaphore_post() raises the count by one,
// shm_semaphore_wait() lowers it by one, and sleeps while it is 0. What was written before a post is
// seen after the wait that took it. It survives the death of any process; one takes along what it
// had taken.
typedef struct shm_semaphore shm_semaphore;

// What the kernel knows of a segment at one moment. The words are those of shmctl(2).
typedef struct shm_status {
  // Exact size in bytes, as asked for when it was created.
  uint64_t size;
  // How often it is attached now, by all processes together.
  uint64_t nattch;
  // When it was last attached, in seconds since 1970; 0 for never.
  int64_t atime;
  // When it was last detached, in seconds since 1970; 0 for never.
  int64_t dtime;
  // When it was created, or its owner or mode last changed, in seconds since 1970.
  int64_t ctime;
  // The id.
  int32_t id;
  // The key; 0 (IPC_PRIVATE) if it has none, or none any more because it has been removed.
  int32_t key;
  // Permission bits, 0 to 0777.
  uint32_t mode;
  // The owner's user and group.
  uint32_t uid;
  uint32_t gid;
  // The creator's user and group.
  uint32_t cuid;
  uint32_t cgid;
  // The process that created it.
  int32_t cpid;
  // The process that attached or detached it last; 0 for none.
  int32_t lpid;
  // 1 if it has been removed and goes when the last process detaches it.
  unsigned char removed;
  // 1 if it is locked into memory (SHM_LOCK).
  unsigned char locked;
  // 0; for later versions.
  unsigned char reserved[50];
} shm_status;

// Some bytes, for shm_ring_send_batch().
typedef struct shm_bytes {
  // The first of them.
  const void *data;
  // How many there are.
  size_t size;
} shm_bytes;

// A slot: room for a message, from shm_ring_reserve() to shm_ring_commit() or shm_ring_abort().
typedef struct shm_slot {
  // The first of its bytes, 8-byte aligned.
  void *data;
  // How many there are.
  size_t size;
  // A number that no other slot of this process has, never 0.
  uint64_t number;
} shm_slot;

// A message in place, from shm_ring_peek() to shm_ring_release().
typedef struct shm_message {
  // The first of its bytes, 8-byte aligned.
  const void *data;
  // How many there are.
  size_t size;
  // A number that no other access to a message in this process has, never 0.
  uint64_t number;
} shm_message;

// A failure, kept to make its text later: plain integers, which may be copied. They are valid in the
// process that has stored them, and in its children.
typedef struct shm_failure {
  // The library's own.
  uint64_t words[4];
} shm_failure;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens or creates the segment that a path and a project id name: ftok(3) and shmget(2) in one,
// checked.
//
// path: a file that exists; equal files give equal keys, and the file's content plays no part.
// NULL makes a private segment, as shm_open_private() does, and then proj_id is not used.
// proj_id: a character or 1 to 255; its low 8 bits count and cannot all be 0.
// size: in bytes, 1 to the limit shmmax, for a segment that is created; the bytes of a new segment
// are 0. A segment that exists must have at least as many; 0 takes it as it is.
// flags: exactly shmget's, from <sys/shm.h>: IPC_CREAT, IPC_EXCL, SHM_HUGETLB (with a page size of
// <linux/shm.h>, if wanted), SHM_NORESERVE, and the permission bits, such as 0600. These are octal: 666
// without the leading 0 is 01232, which is IPC_CREAT and the mode 0232. As with shmget(2), that is not
// refused; the text of the EACCES that attaching then gives says so. When many processes create the
// same key at once, one segment is created and all get it.
//
// Returns: the id, 0 or more, a real System V id; or -1. The segment belongs to nobody: it stays
// until shm_remove().
// Errors: ENOENT no such file, or no such segment and no IPC_CREAT; EINVAL proj_id 0, size 0 or
// beyond shmmax, a segment that is smaller than size, flags that nobody defined; EEXIST with
// IPC_CREAT | IPC_EXCL; EACCES the file or the segment does not allow it; ENOSPC the limit shmmni
// or shmall (not the disk); ENOMEM; EPERM SHM_HUGETLB without the privilege; EFAULT a path that
// points nowhere; ENOSYS no System V shared memory here; and stat(2)'s.
SHMKEY_MUST_USE int shm_open_key(const char *path, int proj_id, size_t size, int flags);

// Opens or creates the segment that a name stands for. No file is needed: the name's bytes are
// hashed to a positive key, the same in every program that uses this library, in C or Rust. Two
// names share a key once in 2^31 pairs.
//
// name: 1 to 4095 bytes and a NUL; any bytes.
// size, flags, result: as for shm_open_key(), with which it also shares its errors; EINVAL also
// for an empty name, ENAMETOOLONG for one that is too long, EFAULT for NULL and for a pointer that
// leads nowhere.
SHMKEY_MUST_USE int shm_open_name(const char *name, size_t size, int flags);

// Opens or creates the segment with a key that was agreed on otherwise, such as a number in an old
// program's header. Every number is a key, -1 too; 0 is IPC_PRIVATE and makes a new segment.
//
// size, flags, result, errors: as for shm_open_key().
SHMKEY_MUST_USE int shm_open_raw(int key, size_t size, int flags);

// Creates a segment without a key. Others reach it by its id, or have it attached when fork(2)
// makes them.
//
// size, flags, result, errors: as for shm_open_key(); IPC_CREAT and IPC_EXCL are understood.
SHMKEY_MUST_USE int shm_open_private(size_t size, int flags);

// Removes a segment: its key is free at once, and its memory goes when the last process detaches
// it. Those who have it attached notice nothing.
//
// Returns: 0, or -1.
// Errors: EINVAL no such id; EIDRM it has been removed and destroyed; EPERM only its owner, its
// creator or root may.
int shm_remove(int id);

// Attaches a segment: its memory becomes part of this process, at a page-aligned address that the
// kernel chooses. The same segment may be attached many times.
//
// flags: exactly shmat's, from <sys/shm.h>: 0 to read and write, or SHM_RDONLY (then writing kills
// the process), SHM_EXEC.
//
// Returns: the address of the first byte; or NULL, and never (void *) -1. It is valid until
// shm_detach(), exec or the end of the process; a child made by fork() has it, too.
// Errors: EINVAL no such id, or flags that nobody defined; EIDRM removed and destroyed; EACCES the
// segment's mode does not allow it; ENOMEM no address space left; ENOSYS.
SHMKEY_MUST_USE void *shm_attach(int id, int flags);

// Attaches a segment at an address of the caller's choosing: a multiple of the page size, or any
// with SHM_RND, which rounds it down. NULL lets the kernel choose. What is mapped there is never
// replaced, unless flags has SHM_REMAP: then it is, whatever it was.
//
// flags, result, errors: as for shm_attach(); EINVAL also if the address is not aligned or in use.
SHMKEY_MUST_USE void *shm_attach_at(int id, const void *address, int flags);

// Attaches a segment on huge pages where the system can: one of 2 MiB or more at a multiple of 2
// MiB, with the kernel advised to use huge pages (MADV_HUGEPAGE;
// /sys/kernel/mm/transparent_hugepage/shmem_enabled must be "advise" or "always"). It is advice:
// without huge pages the segment is attached all the same.
//
// flags: SHM_RDONLY and SHM_EXEC. Result, errors: as for shm_attach(); EACCES also without read
// permission.
SHMKEY_MUST_USE void *shm_attach_huge(int id, int flags);

// Detaches the segment at an address, which must be the very one that attaching returned. From
// then on the memory is gone for all threads of the process.
//
// Returns: 0, or -1.
// Errors: EINVAL nothing is attached at this address (NULL, one inside a segment, one that was
// detached already).
int shm_detach(const void *addr);

// The exact size in bytes of the segment that is attached at an address, by whatever call attached
// it.
//
// size: where to store it; untouched on failure.
//
// Returns: 0, or -1.
// Errors: EINVAL nothing is attached at this address; EFAULT size is NULL or points nowhere;
// ENOENT /proc is not mounted.
int shm_attached_size(const void *addr, size_t *size);

// Makes all pages of the segment that is attached at an address present, so that no access faults
// later; for writing if it is attached for writing. The content does not change. It takes the
// memory at once, and 0.1 to 0.6 seconds a GiB.
//
// Returns: 0, or -1.
// Errors: EINVAL nothing is attached at this address, or a kernel before Linux 5.14; ENOMEM;
// ENOENT /proc is not mounted.
int shm_prefault(const void *addr);

// Asks what the kernel knows of a segment.
//
// status: where to store it; untouched on failure.
//
// Returns: 0, or -1.
// Errors: EINVAL no such id; EIDRM removed and destroyed; EACCES no read permission; EFAULT status
// is NULL or points nowhere.
int shm_get_status(int id, struct shm_status *status);

// Opens a semaphore, or makes it with this first count, 0 to 2147483647.
//
// Returns: a semaphore, to be closed by shm_semaphore_close(); or NULL.
// Errors: those of opening; EOVERFLOW for the count; EACCES if the segment's mode does not
// let this process write.
SHMKEY_MUST_USE struct shm_semaphore *shm_semaphore_open(const char *name, unsigned int first, int flags);

// The same by path and project id; EFAULT if path is NULL.
SHMKEY_MUST_USE struct shm_semaphore *shm_semaphore_open_key(const char *path, int proj_id, unsigned int first, int flags);

// The same in a segment, at an offset: 1024 bytes.
SHMKEY_MUST_USE struct shm_semaphore *shm_semaphore_open_in(int id, size_t offset, unsigned int first, int flags);

// Raises the count by one, and wakes one who waits.
//
// Returns: 0, or -1.
// Errors: EOVERFLOW at 2147483647, and then nothing changes.
int shm_semaphore_post(struct shm_semaphore *semaphore);

// Lowers the count by one, waiting until that is possible.
//
// Returns: 0, or -1.
// Errors: ETIMEDOUT, EAGAIN.
SHMKEY_MUST_USE int shm_semaphore_wait(struct shm_semaphore *semaphore, int64_t timeout);

// The count at this moment.
//
// Returns: 0 to 2147483647, or -1.
int shm_semaphore_value(const struct shm_semaphore *semaphore);

// The id of the segment that it lies in.
//
// Returns: the id, or -1.
int shm_semaphore_id(const struct shm_semaphore *semaphore);

// Says whether the segment that it lies in has been removed. If so, only the processes that have this
// semaphore open still share it, and a process that opens it anew gets another one: close this one and
// open it anew to share that. Makes one system call, which takes some 0.3 us.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
int shm_semaphore_removed(const struct shm_semaphore *semaphore);

// Closes it. What it counts stays.
void shm_semaphore_close(struct shm_semaphore *semaphore);

// Opens a mutex around `size` bytes, or makes it; the bytes are 0 at first.
//
// layout: a name for the type of the bytes, at most 128 bytes long, that all who open it must give
// alike; NULL or "" for none.
//
// Returns: a mutex, to be closed by shm_mutex_close(); or NULL.
// Errors: those of opening; EACCES if the segment's mode does not let this process write.
SHMKEY_MUST_USE struct shm_mutex *shm_mutex_open(const char *name, size_t size, const char *layout, int flags);

// The same by path and project id; EFAULT if path is NULL.
SHMKEY_MUST_USE struct shm_mutex *shm_mutex_open_key(const char *path, int proj_id, size_t size, const char *layout, int flags);

// The same in a segment, at an offset: 1024 bytes and `size`.
SHMKEY_MUST_USE struct shm_mutex *shm_mutex_open_in(int id, size_t offset, size_t size, const char *layout, int flags);

// Locks it for the calling thread.
//
// Returns: 0, locked; EOWNERDEAD (a positive number), locked too, and its last owner died while it
// had it: put the bytes in order and call shm_mutex_consistent(), or they are lost when it is
// unlocked; or -1, not locked.
// Errors: ETIMEDOUT, EAGAIN; EDEADLK this thread has it already; ENOTRECOVERABLE the bytes are lost.
SHMKEY_MUST_USE int shm_mutex_lock(struct shm_mutex *mutex, int64_t timeout);

// The bytes, 64-byte aligned. They are the calling thread's to read and write while it has the
// lock; the address stays the same until the mutex is closed.
//
// Returns: the address; or NULL (EFAULT).
void *shm_mutex_data(struct shm_mutex *mutex);

// Says that the bytes are in order again, after EOWNERDEAD.
//
// Returns: 0, also if there was nothing to put in order; or -1.
// Errors: EPERM this thread does not have the lock.
int shm_mutex_consistent(struct shm_mutex *mutex);

// Unlocks it.
//
// Returns: 0, or -1.
// Errors: EPERM this thread does not have the lock.
int shm_mutex_unlock(struct shm_mutex *mutex);

// The id of the segment that it lies in.
//
// Returns: the id, or -1.
int shm_mutex_id(const struct shm_mutex *mutex);

// Says whether the segment that it lies in has been removed. If so, only the processes that have this
// mutex open still share it, and a process that opens it anew gets another one: close this one and
// open it anew to share that. Makes one system call, which takes some 0.3 us.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
int shm_mutex_removed(const struct shm_mutex *mutex);

// Closes it. Unlock it before: one that is closed while it is locked stays so until its thread ends.
void shm_mutex_close(struct shm_mutex *mutex);

// Opens a latest value of `size` bytes, or makes it without a value.
//
// layout: a name for the type of the value, at most 128 bytes long, that all who open it must give
// alike; NULL or "" for none.
// flags: also SHM_RDONLY.
//
// Returns: a latest value, to be closed by shm_latest_close(); or NULL.
// Errors: those of opening.
SHMKEY_MUST_USE struct shm_latest *shm_latest_open(const char *name, size_t size, const char *layout, int flags);

// The same by path and project id; EFAULT if path is NULL.
SHMKEY_MUST_USE struct shm_latest *shm_latest_open_key(const char *path, int proj_id, size_t size, const char *layout, int flags);

// The same in a segment, at an offset: 1024 bytes, and four times the size rounded up to a multiple
// of 64 if that is at most 256, else twice.
SHMKEY_MUST_USE struct shm_latest *shm_latest_open_in(int id, size_t offset, size_t size, const char *layout, int flags);

// Publishes a value: the `size` bytes that it was opened with.
//
// Returns: 0, or -1.
// Errors: EBUSY another handle or a live process is the publisher; EACCES it was opened with
// SHM_RDONLY, or the segment's mode does not let this process write.
int shm_latest_publish(struct shm_latest *latest, const void *value);

// Copies the newest value, `size` bytes.
//
// Returns: its version, 1 or more: the how-manieth it is; 0 if nothing was published yet, and then
// what is at value may be anything; or -1.
// Errors: ESTALE the publisher was faster than the copy 100,000 times in a row.
int64_t shm_latest_read(const struct shm_latest *latest, void *value);

// Waits until there is a value of another version than `seen`, and copies the newest. Begin with
// 0, which no value has.
//
// Returns: its version; or -1.
// Errors: ETIMEDOUT, EAGAIN; ESTALE.
int64_t shm_latest_read_newer(const struct shm_latest *latest, int64_t seen, void *value, int64_t timeout);

// The version of the newest value, without copying it.
//
// Returns: 1 or more; 0 if nothing was published yet; or -1.
int64_t shm_latest_version(const struct shm_latest *latest);

// The id of the segment that it lies in.
//
// Returns: the id, or -1.
int shm_latest_id(const struct shm_latest *latest);

// Says whether the segment that it lies in has been removed. If so, only the processes that have this
// value open still share it, and a process that opens it anew gets another one: close this one and
// open it anew to share that. Makes one system call, which takes some 0.3 us.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
int shm_latest_removed(const struct shm_latest *latest);

// Closes it. If this process was the publisher, another one can be.
void shm_latest_close(struct shm_latest *latest);

// Opens a ring, or makes it.
//
// capacity: the bytes of all messages together, and so the length of the longest; 64 or more. 0 opens
// one that exists as it is, whatever its capacity and options are.
// flags: also SHM_MANY_SENDERS, SHM_DROP_OLDEST.
//
// Returns: a ring, to be closed by shm_ring_close(); or NULL.
// Errors: those of opening; EACCES if the segment's mode does not let this process write.
SHMKEY_MUST_USE struct shm_ring *shm_ring_open(const char *name, size_t capacity, int flags);

// The same by path and project id; EFAULT if path is NULL.
SHMKEY_MUST_USE struct shm_ring *shm_ring_open_key(const char *path, int proj_id, size_t capacity, int flags);

// The same in a segment, at an offset: 1568 bytes and the capacity.
SHMKEY_MUST_USE struct shm_ring *shm_ring_open_in(int id, size_t offset, size_t capacity, int flags);

// Sends a message, waiting for room.
//
// Returns: 0, or -1.
// Errors: ETIMEDOUT, EAGAIN; EMSGSIZE it is longer than the capacity; EBUSY somebody else who
// lives is the sender (another process, or another handle of this one); ENOSPC there are 64
// senders; EPIPE, EOWNERDEAD there is no room, and no receiver any more; EBADMSG somebody has
// overwritten the ring; EINVAL a slot is reserved; EDEADLK this thread has one reserved by another
// handle of a ring for many senders.
int shm_ring_send(struct shm_ring *ring, const void *message, size_t size, int64_t timeout);

// Sends several messages, as many as there is room for in time; receivers see those that go
// together at once. Stops at a message that cannot be sent, as sendmmsg(2) does: those before it are
// sent, and a call that begins with it reports the error.
//
// messages: `count` structures. Each is read once; they, and the bytes of the messages, may lie in
// shared memory.
//
// Returns: how many were sent, from the first on; or -1, none.
// Errors: those of shm_ring_send().
ptrdiff_t shm_ring_send_batch(struct shm_ring *ring, const struct shm_bytes *messages, size_t count, int64_t timeout);

// Reserves room for a message of `size` bytes, to be written in place. shm_ring_commit() sends it,
// shm_ring_abort() gives it up; until then the handle sends nothing else. In a ring for many senders
// the other senders wait until then, and both must be called by the thread that has reserved the slot.
//
// In a ring for one sender, any thread may call them, one at a time. If the thread that has reserved it
// ends before, the next call that sends gives the slot up: with this handle, or in a ring for many senders
// with any. shm_ring_end_sending() and shm_ring_close() give it up, too, but as long as that thread lives
// in no other one (EPERM). Its bytes must not be written any more.
//
// slot: where to store the slot.
//
// Returns: 0, or -1.
// Errors: those of shm_ring_send(); EFAULT slot is NULL.
SHMKEY_MUST_USE int shm_ring_reserve(struct shm_ring *ring, size_t size, struct shm_slot *slot, int64_t timeout);

// Sends the message that was written in place, with its first `size` bytes.
//
// Returns: 0; or -1, and then nothing is changed, and a slot that is reserved stays reserved.
// Errors: EPERM the slot is no longer reserved (it was committed or given up), or another thread or
// this process' parent has reserved it; EINVAL it has fewer bytes; EFAULT slot is NULL.
int shm_ring_commit(struct shm_ring *ring, const struct shm_slot *slot, size_t size);

// Gives up what was reserved.
//
// Returns: 0; or -1, and then nothing is changed.
// Errors: EPERM as for shm_ring_commit(); EFAULT slot is NULL.
int shm_ring_abort(struct shm_ring *ring, const struct shm_slot *slot);

// Receives a message into a buffer of `size` bytes, waiting for it.
//
// Returns: its length, 0 or more; or -1.
// Errors: ETIMEDOUT, EAGAIN; EMSGSIZE the buffer is too short, and the message stays; EBUSY somebody
// else who lives is the receiver; EPIPE, EOWNERDEAD there is no message, and no sender any
// more; EBADMSG somebody has overwritten the ring.
SHMKEY_MUST_USE ptrdiff_t shm_ring_recv(struct shm_ring *ring, void *buffer, size_t size, int64_t timeout);

// Receives several messages, one behind the other in the buffer, and stores their lengths: waits for
// the first, and takes those that are there with it and fit.
//
// lengths: room for `count` of them.
//
// Returns: how many were received; or -1, none.
// Errors: those of shm_ring_recv().
SHMKEY_MUST_USE ptrdiff_t shm_ring_recv_batch(struct shm_ring *ring, void *buffer, size_t size, size_t *lengths, size_t count, int64_t timeout);

// Waits for a message, and gives access to it in place. It stays the next one until
// shm_ring_release(). A call that peeks again or receives begins with the same message, and ends the
// access that this call has given, also if it fails.
//
// message: where to store the message.
//
// Returns: its length, 0 or more; or -1.
// Errors: those of shm_ring_recv(); EFAULT message is NULL.
SHMKEY_MUST_USE ptrdiff_t shm_ring_peek(struct shm_ring *ring, struct shm_message *message, int64_t timeout);

// Releases the message that was peeked at, so that the following one is the next.
//
// Returns: 0, or -1.
// Errors: EPERM it was released or received, or peeked at again, or this process' parent has peeked at
// it; then nothing is changed; ESTALE the sender of a ring with SHM_DROP_OLDEST has dropped it: what
// was read of it may be anything; EFAULT message is NULL.
int shm_ring_release(struct shm_ring *ring, const struct shm_message *message);

// Becomes the sender, or one of them, before there is anything to send.
//
// Returns: 0, also if this process is it already; or -1.
// Errors: EBUSY, ENOSPC, EBADMSG, EINVAL as for shm_ring_send().
int shm_ring_begin_sending(struct shm_ring *ring);

// Becomes the receiver, before there is anything to receive.
//
// Returns: 0, also if this process is it already; or -1.
// Errors: EBUSY as for shm_ring_recv().
int shm_ring_begin_receiving(struct shm_ring *ring);

// Releases the sender's role, and a slot that is reserved. The receiver gets EPIPE when it has received
// everything, if this was the last sender.
//
// Returns: 0, also if this process was not the sender; or -1, and then nothing is changed.
// Errors: EPERM another thread, which is live, has a slot reserved with this handle.
int shm_ring_end_sending(struct shm_ring *ring);

// Gives the receiver's part back.
//
// Returns: 0, also if this process was not the receiver; or -1.
int shm_ring_end_receiving(struct shm_ring *ring);

// The length of the longest message in bytes: the capacity it was made with, rounded up to a
// multiple of 8.
//
// Returns: that; or -1.
ptrdiff_t shm_ring_capacity(const struct shm_ring *ring);

// How many bytes are in use at this moment, by messages and what they need beside.
//
// Returns: 0 or more; or -1.
ptrdiff_t shm_ring_used(const struct shm_ring *ring);

// How many messages were dropped to make room, since the ring was made.
//
// Returns: 0 or more; or -1.
int64_t shm_ring_dropped(const struct shm_ring *ring);

// The id of the segment that it lies in.
//
// Returns: the id, or -1.
int shm_ring_id(const struct shm_ring *ring);

// Says whether the segment that it lies in has been removed. If so, only the processes that have this
// ring open still share it, and a process that opens it anew gets another one: close this one and
// open it anew to share that. Makes one system call, which takes some 0.3 us.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
int shm_ring_removed(const struct shm_ring *ring);

// Closes it, and releases the roles that this process has by this handle, and a slot that is reserved.
// What was sent stays.
//
// While another thread, which is live, has a slot reserved with this handle, that thread may be writing
// into it: then the ring is not closed, errno is EPERM, and the handle stays valid.
void shm_ring_close(struct shm_ring *ring);

// Why the calling thread's last failed call of this library failed: a sentence or two for a
// person, in English and UTF-8, with the cause as far as it could be found out and what to do
// about it. Like errno it means something right after a failure; a call that succeeds leaves it
// alone. Before the first failure it is "no error". A thread's first failure maps a page for it; if
// there is no memory for that, the text says so.
//
// The text of a failed operation on an object is made when it is asked for, so a failed try costs no
// more than the try. The state of another process in it (running, sleeping, stopped, dead) is that of
// the time when the text is made. A closed object is named until 64 others were closed after it.
//
// Returns: a string, never NULL. It belongs to the library, is the calling thread's own, changes with
// that thread's next failure, and ends with that thread; copy it to keep it. At most 1023 bytes. errno
// is left alone.
const char *shm_last_error(void);

// Stores the calling thread's last failure, so that any thread can make its text later, also after
// other calls have failed.
//
// failure: where to store it; untouched unless the result is 1.
//
// Returns: 1 if it was stored: shm_failure_text() makes the text; or 0, if there was no failure, or its
// text is made already, like that of a failure to create a segment: copy that from shm_last_error().
// errno is left alone.
int shm_last_failure(struct shm_failure *failure);

// Makes the text of a failure, as shm_last_error() does: at most size - 1 bytes of it and a NUL. 1024
// bytes are enough for any text.
//
// failure: what shm_last_failure() has stored. Other integers give another text, and do no harm.
//
// Returns: nothing. errno is left alone.
void shm_failure_text(const struct shm_failure *failure, char *text, size_t size);

// A number of the calling process, which no other process has as long as the machine is up: a
// child made by fork() has another one, also where both have the same id in PID namespaces of their own.
// Before Linux 6.9 it is made of the id, the start time and the namespaces of the process, or is random.
//
// Returns: the number, never 0.
uint64_t shm_this_process(void);

// The version of the library in use, such as "0.1.0".
//
// Returns: a string that lives as long as the library, never NULL.
const char *shm_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMKEY_H */
