/*
 * shmkey.h - System V shared memory, and objects that processes share in it.
 *
 *     #include <shmkey.h>
 *     #include <stdio.h>
 *
 *     int   id   = shm_open_name("greeting", 1024, SHMKEY_CREATE | 0600);
 *     char *text = id < 0 ? NULL : shm_attach(id, 0);
 *     if (text == NULL) { fprintf(stderr, "%s\n", shm_last_error()); return 1; }
 *     snprintf(text, 1024, "hello");   // every process that opens "greeting" reads it
 *     return shm_detach(text);         // the segment stays until shm_remove(id)
 *
 * A call that fails returns -1 or NULL, sets errno, and leaves a sentence in shm_last_error(); a call that
 * succeeds leaves errno alone. shmkey(3) says what all functions have in common. This header needs C99; link
 * with -lshmkey. cbindgen makes this file from src/capi.
 */

/* The compiler warns if the result of a function marked so is not used. */
#if !defined(SHMKEY_MUST_USE)
#if defined(__GNUC__)
#define SHMKEY_MUST_USE __attribute__((warn_unused_result))
#else
#define SHMKEY_MUST_USE
#endif
#endif

/* A time in nanoseconds, from any type of number. */
#if defined(__cplusplus)
#define SHMKEY_NANOSECONDS_(n) (static_cast<int64_t>(n))
#else
#define SHMKEY_NANOSECONDS_(n) ((int64_t)(n))
#endif


#ifndef SHMKEY_H
#define SHMKEY_H

#include <stddef.h>
#include <stdint.h>

// A timeout of n seconds, in nanoseconds. n is an integer or a fraction, and not negative.
#define SHMKEY_SECONDS(n) SHMKEY_NANOSECONDS_(INT64_C(1000000000) * (n))
// A timeout of n milliseconds, in nanoseconds.
#define SHMKEY_MILLISECONDS(n) SHMKEY_NANOSECONDS_(INT64_C(1000000) * (n))
// A timeout of n microseconds, in nanoseconds.
#define SHMKEY_MICROSECONDS(n) SHMKEY_NANOSECONDS_(INT64_C(1000) * (n))

// The initial value of a struct shm_place: no name, no path, no segment; a timeout of 5 seconds; any owner.
#define SHMKEY_PLACE_INIT {NULL, NULL, 0, SHMKEY_SECONDS(5), SHMKEY_ANY_OWNER, 0, -1, {0}}
// SHMKEY_PLACE_INIT with this name.
#define SHMKEY_PLACE_NAME(name) {(name), NULL, 0, SHMKEY_SECONDS(5), SHMKEY_ANY_OWNER, 0, -1, {0}}
// SHMKEY_PLACE_INIT with this path and project id.
#define SHMKEY_PLACE_FILE(path, proj_id) {NULL, (path), 0, SHMKEY_SECONDS(5), SHMKEY_ANY_OWNER, (proj_id), -1, {0}}
// SHMKEY_PLACE_INIT with this segment id and this offset.
#define SHMKEY_PLACE_SEGMENT(id, offset) {NULL, NULL, (offset), SHMKEY_SECONDS(5), SHMKEY_ANY_OWNER, 0, (id), {0}}


// A flag of opening: creates the segment or the object if it does not exist, with the permission bits
// that are given beside it, as in SHMKEY_CREATE | 0600. The value is that of IPC_CREAT.
#define SHMKEY_CREATE (1 << 9)

// A flag of opening a segment, beside SHMKEY_CREATE: fails with EEXIST if the segment exists. The value
// is that of IPC_EXCL.
#define SHMKEY_EXCLUSIVE (1 << 10)

// A flag of attaching a segment and of opening a latest value or a lossy broadcast: this process cannot write it. The
// value is that of SHM_RDONLY.
#define SHMKEY_READ_ONLY (1 << 12)

// A timeout: waits until the event happens, however long that takes.
#define SHMKEY_FOREVER -1

// A timeout: tries once and does not wait. The call fails with EAGAIN if it would have to wait.
#define SHMKEY_NO_WAIT 0

// For the member owner of struct shm_place: the segment may belong to any user. For shm_set_owner():
// leaves the user or the group unchanged.
#define SHMKEY_ANY_OWNER 4294967295

// An option of a ring: up to 64 handles, in one process or in many, send at a time.
#define SHMKEY_MANY_SENDERS (1 << 16)

// An option of a ring: a sender without room drops the oldest messages and does not wait. Messages are
// then lost; shm_ring_dropped() counts them.
#define SHMKEY_DROP_OLDEST (1 << 17)

// An option of a broadcast: the publisher never waits, and overwrites the oldest messages.
#define SHMKEY_LOSSY (1 << 18)

// An option of shm_broadcast_subscribe(): the first message is the oldest one that is not overwritten.
#define SHMKEY_FROM_OLDEST 1

// The version of this header. shm_version() returns that of the library in use.
#define SHMKEY_VERSION_MAJOR 0

// The second number: it rises with new functions (before 1.0, also with incompatible changes).
#define SHMKEY_VERSION_MINOR 1

// The third number: it rises with corrections.
#define SHMKEY_VERSION_PATCH 0

// Messages from one process to up to 64 subscribers, each of which receives all of them in order. A message has any
// length up to the capacity.
//
// The first handle that publishes is the publisher, until shm_broadcast_end_publishing() or shm_broadcast_close(), or
// until its process ends; then another handle can take the role. A handle subscribes with shm_broadcast_subscribe(),
// and receives what is published from then on; without a subscription, receiving fails with EPERM.
//
// No subscriber of a lossless broadcast misses a message: the publisher waits for the slowest subscriber, and drops
// one that is dead. Without a subscriber, the publisher does not wait, and overwrites the oldest messages. With
// SHMKEY_LOSSY the publisher never waits and overwrites the oldest messages; a subscriber that had not received them
// continues with the oldest message that is left, and shm_broadcast_missed() counts those that it missed.
//
// A message that was committed is received, whichever process dies; one that was not committed is never received. When
// the publisher has released its role, a subscriber gets the messages that are left and then EPIPE; or EOWNERDEAD, if
// the publisher died. Until a process first takes the role, the subscribers wait for it. After that, the broadcast
// remembers how the role ended, also for later runs of the programs: a subscriber that starts before the next
// publisher gets EPIPE or EOWNERDEAD at once (with SHMKEY_FROM_OLDEST, after the messages that are left). To make it
// wait for that publisher, call shm_broadcast_set_keep_waiting(), or remove the broadcast at the end of each run.
//
// A child made by fork(2) may use its parent's handle. It does not have its parent's role, slot, message or
// subscription: while the parent is the publisher, publishing fails with EBUSY, and the child receives after it has
// called shm_broadcast_subscribe() itself.
//
// Memory: at most 5888 bytes plus 9/8 of the capacity. A message takes its length plus 16 bytes, rounded up to a
// multiple of 64.
typedef struct shm_broadcast shm_broadcast;

// With this, shm_cancel() ends the waits of one handle. A function such as shm_ring_canceller() returns it. It belongs
// to the handle.
typedef struct shm_canceller shm_canceller;

// A condition variable. A thread that has a mutex, and finds that the bytes are not yet as it needs them, waits here
// with the mutex unlocked, until another thread has changed the bytes and notifies it.
//
// No notification is lost: one that comes after shm_condvar_wait() has unlocked the mutex ends the wait, and it is not
// taken by a thread that begins to wait after it. A process that is killed while it waits or notifies delays the other
// threads by at most 300 ms. A child made by fork(2) may use its parent's handle.
typedef struct shm_condvar shm_condvar;

// The newest value of something: one handle publishes it, any number read it, and none waits for another. A reader
// sees the newest value, and always a whole one; it can miss values in between.
//
// The first handle that publishes is the publisher until it is closed or its process ends; then another can
// publish. If the publisher is killed, at any instruction, the last value that it has published stays. Read
// permission is enough to read. A reader that cannot write is not woken: it notices a newer value within 8 ms during
// the first 100 ms of its wait, and after that within 250 ms.
//
// A child made by fork(2) may use its parent's handle. It does not have its parent's role: while the parent is the
// publisher, the child reads, and publishing fails with EBUSY.
typedef struct shm_latest shm_latest;

// A robust mutex around some bytes: one thread of one process has them at a time, and they survive its death. The next
// owner then gets EOWNERDEAD, and repairs the bytes.
//
// A thread that tries to lock the mutex when it has just been unlocked gets it before the threads that sleep; one that
// has waited for 50 ms is next. A thread that is waiting notices the death of the owner within 10 ms during the first
// 100 ms of its wait, and after that within 300 ms. Between PID namespaces, a lock is recovered when the owner's
// process has ended: shmkey(3) says what this takes. A child made by fork(2) may use its parent's handle, and does not
// have its parent's lock.
typedef struct shm_mutex shm_mutex;

// Messages from one process to another, of any length up to the ring's capacity, in order and without loss.
//
// The first handle that sends is the sender, and the first that receives is the receiver, until the handle is closed
// or releases the role, or until its process ends; then another handle can take the role. With SHMKEY_MANY_SENDERS
// there are up to 64 senders. What was sent stays in the ring, even while no process has it open.
//
// A message that was committed is received, whichever process dies; one that was not committed is never received. The
// next receiver gets the messages that a dead one had not released. When all senders have released their roles, the
// receiver gets the messages that are left and then EPIPE; or EOWNERDEAD, if a sender died. A sender that waits for
// room gets the same errors when the receiver has released its role or died. Until a process first takes a role, the
// other side waits for it. After that, the ring remembers how the role ended, also for later runs of the programs: a
// receiver that starts before the next sender gets EPIPE or EOWNERDEAD at once if the ring is empty. To make it wait
// for that sender, call shm_ring_set_keep_waiting(), or remove the ring at the end of each run.
//
// A child made by fork(2) may use its parent's handle. It does not have its parent's roles, slot or message: while
// the parent has a role, the calls of the child that need it fail with EBUSY. In a ring with SHMKEY_MANY_SENDERS, the
// child becomes one more sender.
//
// Memory: at most 2560 bytes plus 5/4 of the capacity. A message takes its length plus a header of 8 bytes (64 bytes
// if it is longer than 16 KiB), rounded up to a multiple of 64. There is room for a message if this message and those
// that are not released take together at most the capacity plus 64 bytes, rounded up to a multiple of 64. So an empty
// ring has room for a message of the whole capacity.
typedef struct shm_ring shm_ring;

// A robust reader-writer lock around some bytes: up to 64 threads read them at a time, or one thread of one process
// changes them. The bytes survive the death of all of these threads. After a writer has died, every call that locks
// for reading or writing returns EOWNERDEAD, until a writer has repaired the bytes and called shm_rwlock_consistent().
//
// A thread that asks for the lock while a writer waits gets it after that writer, so neither readers nor writers
// starve. A thread that waits notices the death of a thread that has the lock within 10 ms during the first 100 ms of
// its wait, and after that within 300 ms. Between PID namespaces, a lock is recovered when the process of that thread
// has ended: shmkey(3) says what this takes. A child made by fork(2) may use its parent's handle, and does not have
// its parent's lock.
typedef struct shm_rwlock shm_rwlock;

// A counting semaphore: shm_semaphore_post() raises the count by one, shm_semaphore_wait() lowers it by one, and waits
// while it is 0. It survives the death of any process; a count that a dead process has taken stays taken. A child
// made by fork(2) may use its parent's handle.
typedef struct shm_semaphore shm_semaphore;

// What the kernel knows of a segment at one time. The terms are those of shmctl(2).
typedef struct shm_status {
  // The exact size in bytes, as given when it was created.
  uint64_t size;
  // The number of its attachments, in all processes together.
  uint64_t nattch;
  // When it was last attached, in seconds since 1970; 0 for never.
  int64_t atime;
  // When it was last detached, in seconds since 1970; 0 for never.
  int64_t dtime;
  // When it was created, or its owner or mode last changed, in seconds since 1970.
  int64_t ctime;
  // The id.
  int32_t id;
  // The key; 0 (IPC_PRIVATE) if it has none, or has been removed.
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
  // The process that last attached or detached it; 0 for none.
  int32_t lpid;
  // 1 if it has been removed, so that the last detach destroys it.
  unsigned char removed;
  // 1 if it is locked into memory (SHM_LOCK).
  unsigned char locked;
  // 0; reserved.
  unsigned char reserved[50];
} shm_status;

// Where an object lies, for the functions shm_..._open_at(). Initialise it with SHMKEY_PLACE_INIT, then
// set the name, or path and proj_id, or id and offset. SHMKEY_PLACE_NAME(), SHMKEY_PLACE_FILE() and
// SHMKEY_PLACE_SEGMENT() do both. The strings belong to the caller, and are not used after the call.
typedef struct shm_place {
  // A name, 1 to 256 bytes and a NUL; or NULL.
  const char *name;
  // A file that exists; or NULL. The object records the file and the project id.
  const char *path;
  // With id: where the object begins in that segment, in bytes, a multiple of 64; else 0. The bytes
  // there must be 0 before the object is created.
  size_t offset;
  // How long to wait while another process is creating the object, in nanoseconds, or SHMKEY_FOREVER. For an object
  // that no process has begun to create, and that flags do not ask to create, the call fails at once with ENOENT.
  int64_t timeout;
  // The user id that must own the segment, or SHMKEY_ANY_OWNER. It is compared before anything in the
  // segment is used; the segment's creator must be the same user, or root.
  uint32_t owner;
  // With path: a character, or 1 to 255; else 0.
  int proj_id;
  // The id of a segment that exists; or -1.
  int id;
  // 0; reserved.
  uint32_t reserved[5];
} shm_place;

// A message for shm_ring_send_batch() and shm_broadcast_publish_batch().
typedef struct shm_bytes {
  // The first byte.
  const void *data;
  // The number of bytes.
  size_t size;
} shm_bytes;

// A slot: room for a message, from shm_ring_reserve() to shm_ring_commit() or shm_ring_abort(), or from
// shm_broadcast_reserve() to shm_broadcast_commit() or shm_broadcast_abort().
typedef struct shm_slot {
  // The first byte, 8-byte aligned.
  void *data;
  // The number of bytes.
  size_t size;
  // A number that no other slot of this process has; never 0.
  uint64_t number;
} shm_slot;

// A message in place, from shm_ring_peek() to shm_ring_release(), or from shm_broadcast_peek() to
// shm_broadcast_release().
typedef struct shm_message {
  // The first byte, 8-byte aligned.
  const void *data;
  // The number of bytes.
  size_t size;
  // A number that no other peeked message of this process has, never 0.
  uint64_t number;
} shm_message;

// An object that shm_wait_any() can wait for: one of the handles, and NULL for the others, as in {.ring = orders} or
// {.latest = position, .seen = version}.
typedef struct shm_waitable {
  // Waits for a message, or until the senders have released their roles or died. The handle becomes the receiver.
  struct shm_ring *ring;
  // Waits until the count is not 0.
  struct shm_semaphore *semaphore;
  // Waits for a value whose version differs from the field seen.
  struct shm_latest *latest;
  // Waits for a message, or until the publisher has released its role or died. The handle must be subscribed.
  struct shm_broadcast *broadcast;
  // With latest: the version of the last value that the caller has read; 0 if it has read none.
  int64_t seen;
  // NULL; reserved.
  void *reserved[3];
} shm_waitable;

// A failure, kept to make its text later: plain integers, which may be copied. They are valid in the process that has
// stored them, and in its children.
typedef struct shm_failure {
  // The library's own.
  uint64_t words[4];
} shm_failure;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens or creates the segment that belongs to a path and a project id: ftok(3) and shmget(2) in one call. To
// open one by a key that is a number, see shm_open_key_number().
//
// path: a file that exists. All paths of one file give the same key; the file's content does not matter. NULL
// creates a segment without a key, as shm_open_private() does, and proj_id is not used.
// proj_id: a character or 1 to 255. Only its low 8 bits are used, and they must not all be 0.
// size: in bytes. A new segment has exactly this size, 1 to the limit shmmax, and its bytes are 0. A segment
// that exists must have at least this size; 0 accepts any.
// flags: SHMKEY_CREATE with permission bits, as in SHMKEY_CREATE | 0600, creates the segment if it does not
// exist; 0 opens one that exists. The other flags of shmget(2) are accepted, too. Permission bits are octal:
// 666 without the leading 0 is 01232, which is SHMKEY_CREATE and the mode 0232.
//
// Returns: the segment's id, 0 or more, as shmat(2), ipcs(1) and other processes use it; or -1. The segment
// belongs to no process: it stays until shm_remove().
// Errors: ENOENT the file does not exist, or the segment does not exist and flags has no SHMKEY_CREATE; EINVAL the low
// 8 bits of proj_id are 0, size is 0 or larger than shmmax, the segment is smaller than size, the mode lets the owner
// of a new segment neither read nor write it, or flags has an undefined bit; EEXIST the segment exists and flags has
// SHMKEY_EXCLUSIVE; EACCES the mode of the segment, or of a directory in path, does not allow it; ENOSPC the limit
// shmmni or shmall is reached (no disk is full); ENOMEM there is not enough memory; EPERM flags has SHM_HUGETLB, which
// needs a privilege; EFAULT path is an invalid pointer; ENOSYS this system has no System V shared memory; and those of
// stat(2).
// Threads: any, also in a signal handler.
SHMKEY_MUST_USE int shm_open_key(const char *path, int proj_id, size_t size, int flags);

// Opens or creates the segment that belongs to a name. No file is needed: the library hashes the name to a key
// from 1 to 2147483647, which is the same in every program. About one pair of names in 2^31 has the same key.
//
// name: 1 to 4095 bytes of any value, and a NUL.
// size: in bytes. A new segment has exactly this size, 1 to the limit shmmax, and its bytes are 0. A segment
// that exists must have at least this size; 0 accepts any.
// flags: SHMKEY_CREATE with permission bits, as in SHMKEY_CREATE | 0600, creates the segment if it does not
// exist; 0 opens one that exists. The other flags of shmget(2) are accepted, too.
//
// Returns: the segment's id, 0 or more; or -1. The segment belongs to no process: it stays until
// shm_remove().
// Errors: ENOENT the segment does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty, size is 0 or
// larger than shmmax, the segment is smaller than size, the mode lets the owner of a new segment neither read nor
// write it, or flags has an undefined bit; ENAMETOOLONG the name has more than 4095 bytes; EFAULT the name is NULL or
// an invalid pointer; EEXIST the segment exists and flags has SHMKEY_EXCLUSIVE; EACCES its mode does not allow it;
// ENOSPC the limit shmmni or shmall is reached; ENOMEM there is not enough memory; EPERM flags has SHM_HUGETLB, which
// needs a privilege; ENOSYS this system has no System V shared memory.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_open_name(const char *name, size_t size, int flags);

// Opens or creates the segment with this key, a number, such as one in the header file of an existing program.
// To make the key from a path and a project id, see shm_open_key().
//
// key: any number; 0 is IPC_PRIVATE and creates a segment without a key. -1 is a key, too: check the result
// of ftok(3) before you pass it.
// size: in bytes. A new segment has exactly this size, 1 to the limit shmmax, and its bytes are 0. A segment
// that exists must have at least this size; 0 accepts any.
// flags: SHMKEY_CREATE with permission bits, as in SHMKEY_CREATE | 0600, creates the segment if it does not
// exist; 0 opens one that exists. The other flags of shmget(2) are accepted, too.
//
// Returns: the segment's id, 0 or more; or -1. The segment belongs to no process: it stays until
// shm_remove().
// Errors: ENOENT the segment does not exist and flags has no SHMKEY_CREATE; EINVAL size is 0 or larger than shmmax,
// the segment is smaller than size, the mode lets the owner of a new segment neither read nor write it, or flags has
// an undefined bit; EEXIST the segment exists and flags has SHMKEY_EXCLUSIVE; EACCES its mode does not allow it;
// ENOSPC the limit shmmni or shmall is reached; ENOMEM there is not enough memory; EPERM flags has SHM_HUGETLB, which
// needs a privilege; ENOSYS this system has no System V shared memory.
// Threads: any, also in a signal handler.
SHMKEY_MUST_USE int shm_open_key_number(int key, size_t size, int flags);

// Creates a segment without a key. Other processes reach it by its id, or inherit it attached by fork(2).
//
// size: in bytes, 1 to the limit shmmax. The bytes are 0.
// flags: permission bits, such as 0600, and SHM_HUGETLB, SHM_NORESERVE of shmget(2). SHMKEY_CREATE and
// SHMKEY_EXCLUSIVE change nothing.
//
// Returns: the segment's id, 0 or more; or -1. The segment belongs to no process: it stays until
// shm_remove().
// Errors: EINVAL size is 0 or larger than shmmax, the mode lets the owner neither read nor write the segment, or flags
// has an undefined bit; ENOSPC the limit shmmni or shmall is reached; ENOMEM there is not enough memory; EPERM flags
// has SHM_HUGETLB, which needs a privilege; ENOSYS this system has no System V shared memory.
// Threads: any, also in a signal handler.
SHMKEY_MUST_USE int shm_open_private(size_t size, int flags);

// Removes a segment: its key is free at once, and its memory is freed when the last process detaches it. Processes
// that have it attached can continue to use it.
//
// id: as an open function returned it, in this process or in another.
//
// Returns: 0; or -1.
// Errors: EINVAL no segment has this id; EIDRM the segment is removed and destroyed during the call (one that was
// destroyed before gives EINVAL); EPERM the user of this process is neither the owner, the creator nor root.
// Threads: any, also in a signal handler.
int shm_remove(int id);

// Changes the permission bits of a segment. They decide what can be attached from now on; what is attached
// stays attached. The kernel sets owner and mode in one call, so this reads the owner first; if another
// process changes the owner in between, that change is lost.
//
// id: as an open function returned it, in this process or in another.
// mode: as chmod(2) has it, 0 to 0777: 4 reads, 2 writes.
//
// Returns: 0; or -1.
// Errors: EINVAL mode is larger than 0777, or no segment has this id; EIDRM the segment is removed and destroyed
// during the call (one that was destroyed before gives EINVAL); EPERM the user of this process is neither the owner,
// the creator nor root; EACCES only before Linux 4.17, the mode does not let this process read.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_set_mode(int id, unsigned int mode);

// Changes the owner of a segment, its group or both. The creator keeps the owner's rights. The kernel sets
// owner and mode in one call, so this reads the mode first; if another process changes the mode in between,
// that change is lost.
//
// id: as an open function returned it, in this process or in another.
// uid: the new owner's user id; SHMKEY_ANY_OWNER, or -1 as for chown(2), leaves it unchanged.
// gid: the new group id; SHMKEY_ANY_OWNER, or -1, leaves it unchanged.
//
// Returns: 0; or -1.
// Errors: EINVAL no segment has this id, or this user namespace does not know the user or the group; EIDRM the segment
// is removed and destroyed during the call (one that was destroyed before gives EINVAL); EPERM the user of this
// process is neither the owner, the creator nor root; EACCES only before Linux 4.17, the mode does not let this
// process read.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_set_owner(int id, uint32_t uid, uint32_t gid);

// Attaches a segment: its memory becomes part of this process, at a page-aligned address that the kernel
// chooses. A segment can be attached many times. Access to its bytes is not synchronised: what this process
// writes becomes visible to the others byte by byte, in any order.
//
// id: as an open function returned it, in this process or in another.
// flags: 0 to read and write; SHMKEY_READ_ONLY to read; a write then raises SIGSEGV. SHM_RND, SHM_REMAP and
// SHM_EXEC are those of shmat(2).
//
// Returns: the address of the first byte; or NULL, never (void *) -1. It is valid until shm_detach(), exec or
// the end of the process; a child made by fork(2) has the segment attached, too.
// Errors: EINVAL no segment has this id, or flags has an undefined bit; EIDRM the segment is removed and destroyed
// during the call (one that was destroyed before gives EINVAL); EACCES its mode does not allow it; ENOMEM there is no
// address space left; ENOSYS this system has no System V shared memory.
// Threads: any, also in a signal handler.
SHMKEY_MUST_USE void *shm_attach(int id, int flags);

// Attaches a segment at an address that the caller chooses. If something is mapped there, SHM_REMAP replaces
// it, whatever it is; without SHM_REMAP the call fails.
//
// id: as an open function returned it, in this process or in another.
// address: a multiple of the page size, or any address with SHM_RND, which rounds it down; NULL lets the
// kernel choose.
// flags: 0 to read and write; SHMKEY_READ_ONLY to read. SHM_RND, SHM_REMAP and SHM_EXEC are those of shmat(2).
//
// Returns: the address of the first byte; or NULL, never (void *) -1. It is valid until shm_detach(), exec or
// the end of the process; a child made by fork(2) has the segment attached, too.
// Errors: EINVAL no segment has this id, the address is not aligned or is in use, or flags has an undefined bit; EIDRM
// the segment is removed and destroyed during the call (one that was destroyed before gives EINVAL); EACCES its mode
// does not allow it; ENOMEM there is no address space left; ENOSYS this system has no System V shared memory.
// Threads: any, also in a signal handler.
SHMKEY_MUST_USE void *shm_attach_at(int id, const void *address, int flags);

// Attaches a segment on huge pages where the system has them: a segment of 2 MiB or more, at a multiple of 2
// MiB, with MADV_HUGEPAGE. /sys/kernel/mm/transparent_hugepage/shmem_enabled must be "advise" or "always".
// If there are no huge pages, the segment is attached on ordinary ones.
//
// id: as an open function returned it, in this process or in another.
// flags: 0 to read and write; SHMKEY_READ_ONLY to read; SHM_EXEC.
//
// Returns: the address of the first byte; or NULL. It is valid until shm_detach(), exec or the end of the
// process; a child made by fork(2) has the segment attached, too.
// Errors: EINVAL no segment has this id, or flags has an undefined bit; EIDRM the segment is removed and destroyed
// during the call (one that was destroyed before gives EINVAL); EACCES its mode does not allow the access, or does not
// allow reading; ENOMEM there is no address space left; ENOSYS this system has no System V shared memory.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE void *shm_attach_huge(int id, int flags);

// Detaches a segment. No thread of the process can use its memory afterwards.
//
// addr: exactly what an attach function returned.
//
// Returns: 0; or -1.
// Errors: EINVAL no segment is attached at this address: the address is NULL or lies inside a segment, or the
// segment was detached.
// Threads: any, also in a signal handler.
int shm_detach(const void *addr);

// Stores the exact size of the segment that is attached at an address, whichever call attached it.
//
// addr: exactly what an attach function returned.
// size: where to store the size in bytes; untouched on failure.
//
// Returns: 0; or -1.
// Errors: EINVAL no segment is attached at this address; EFAULT size does not point to memory that this process can
// write; ENOENT /proc is not mounted; EMFILE, ENFILE the process or the system has no more descriptors.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_attached_size(const void *addr, size_t *size);

// Makes all pages of an attached segment present, so that no later access faults; for writing if the segment
// is attached for writing. The content does not change. The kernel allocates all pages during the call: 0.1 to
// 0.6 seconds for each GiB.
//
// addr: exactly what an attach function returned.
//
// Returns: 0; or -1.
// Errors: EINVAL no segment is attached at this address, or the kernel is older than Linux 5.14; ENOMEM there is not
// enough memory; ENOENT /proc is not mounted; EMFILE, ENFILE the process or the system has no more descriptors.
// Threads: any; not in a signal handler.
int shm_prefault(const void *addr);

// Stores what the kernel knows of a segment.
//
// id: as an open function returned it, in this process or in another.
// status: where to store it; untouched on failure.
//
// Returns: 0; or -1.
// Errors: EINVAL no segment has this id; EIDRM the segment is removed and destroyed during the call (one that was
// destroyed before gives EINVAL); EACCES its mode does not let this process read; EFAULT status does not point to
// memory that this process can write.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_get_status(int id, struct shm_status *status);

// Ends the waits of a handle that are under way, at least one of them; or the next one, if none is under way. The call
// that waits fails with ECANCELED, and the object is as after a timeout: no message, count or lock is lost.
//
// A cancellation is kept until it has ended a wait, so one that comes just before a wait begins is not lost. Two
// cancellations before a wait end only that wait. A call that need not wait succeeds, and the cancellation is kept; so
// a loop whose calls never wait must also check a flag of its own. While a cancellation is kept, a call that would
// fail with EPIPE or EOWNERDEAD fails with ECANCELED instead, which uses up the cancellation; the next call then fails
// with EPIPE or EOWNERDEAD. If several threads wait with one handle and all of them must end, each of them calls
// shm_cancel() before it ends, which passes the cancellation on. A child made by fork(2) has a copy of the handle, and
// of a cancellation that is kept; this call acts on the calling process only.
//
// If the handle has a descriptor, such as that of shm_ring_fd(), the descriptor becomes readable, and the next call
// with SHMKEY_NO_WAIT that would fail with EAGAIN, EPIPE or EOWNERDEAD fails with ECANCELED instead. If the handle has
// no descriptor, its calls with SHMKEY_NO_WAIT are not cancelled. shm_wait_any() counts as a wait of each of its
// objects.
//
// canceller: from a function such as shm_ring_canceller(), while its handle is open; NULL does nothing.
// Threads: any, also in a signal handler. Does not change errno.
void shm_cancel(struct shm_canceller *canceller);

// Opens a semaphore, or creates it. All processes make this call. If another process is creating the semaphore, this
// call waits up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// first: the count of a new semaphore, 0 to 2147483647.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
// creates it if it does not exist; 0 opens one that exists.
//
// Returns: a handle, which shm_semaphore_close() closes; or NULL. The segment stays until
// shm_remove(shm_semaphore_id(semaphore)).
// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EOVERFLOW first is too large; EINVAL the name is
// empty or too long, the mode lacks a bit of 0600, or flags has an undefined bit; EFAULT the name is NULL or an
// invalid pointer; EACCES flags has SHMKEY_READ_ONLY, or the segment's mode does not let this process write; ENOTUNIQ
// another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another layout, or no
// object of this library is there; EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another
// architecture, created it; ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates
// it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_semaphore *shm_semaphore_open(const char *name, unsigned int first, int flags);

// Opens a semaphore at a place: by a name, by a path and a project id, or in a segment that exists, where it takes
// 1024 bytes. Apart from that, it does the same as shm_semaphore_open().
//
// place: where the semaphore lies, how long to wait for its creator, and who must own the segment. It is read
// during the call only.
// first: the count of a new semaphore, 0 to 2147483647.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
// place has a name or a path. 0 opens one that exists.
//
// Returns: a handle, which shm_semaphore_close() closes; or NULL.
// Errors: those of shm_semaphore_open(); EINVAL the place names no segment or names one in two ways, its offset is not
// a multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE
struct shm_semaphore *shm_semaphore_open_at(const struct shm_place *place,
                                            unsigned int first,
                                            int flags);

// Raises the count by one, and wakes one thread that waits. What this thread has written before is seen by the
// thread whose wait takes this count.
//
// semaphore: a handle that is open.
//
// Returns: 0; or -1.
// Errors: EOVERFLOW the count is 2147483647, and is not changed; EFAULT semaphore is NULL.
// Threads: any; not in a signal handler. After the last post, another thread may close the handle.
int shm_semaphore_post(struct shm_semaphore *semaphore);

// Lowers the count by one; waits while it is 0. A count that this process has taken stays taken if it
// dies. Signals do not end the wait, unless shm_semaphore_set_interruptible() allows it.
//
// semaphore: a handle that is open.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0; or -1.
// Errors: ETIMEDOUT the count was 0 for that long; EAGAIN the count is 0 and timeout is SHMKEY_NO_WAIT; EINTR,
// ECANCELED a signal handler or shm_cancel() has ended the wait; EINVAL timeout is less than -1; EFAULT semaphore is
// NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_semaphore_wait(struct shm_semaphore *semaphore, int64_t timeout);

// Returns a descriptor that is readable when the count may be above 0: for poll(2), select(2), epoll(7) (level- or
// edge-triggered) and event loops.
//
// When the descriptor is readable, call shm_semaphore_wait() with SHMKEY_NO_WAIT until that fails with EAGAIN. The
// call that fails makes the descriptor unreadable until the next shm_semaphore_post(), but for at most 250 ms. Do not
// read or close it. The first poll returns at once. shm_ring_fd() says when such a descriptor becomes readable.
//
// semaphore: a handle that is open.
//
// Returns: the descriptor, the same for each call, which belongs to the handle: shm_semaphore_close() and execve(2)
// close it; or -1.
// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EFAULT semaphore is
// NULL.
// Threads: any; not in a signal handler. A child made by fork(2) calls this again, and gets a descriptor of its own.
SHMKEY_MUST_USE int shm_semaphore_fd(const struct shm_semaphore *semaphore);

// Returns the count. Another thread may change it at any time.
//
// semaphore: a handle that is open.
//
// Returns: 0 to 2147483647; or -1.
// Errors: EFAULT semaphore is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_semaphore_value(const struct shm_semaphore *semaphore);

// Sets whether a signal handler that runs during a wait of shm_semaphore_wait() ends it: the call then fails with
// EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait, or
// between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was installed
// with SA_RESTART ends a wait, too, unless shm_semaphore_canceller() was called before.
//
// semaphore: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT semaphore is NULL.
// Threads: any; not in a signal handler.
int shm_semaphore_set_interruptible(struct shm_semaphore *semaphore, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_semaphore_wait(). Call this before the
// wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
// handle wakes up every 8 ms while it waits.
//
// semaphore: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT semaphore is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_semaphore_canceller(struct shm_semaphore *semaphore);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// semaphore: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT semaphore is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_semaphore_id(const struct shm_semaphore *semaphore);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// semaphore: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT semaphore is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_semaphore_removed(const struct shm_semaphore *semaphore);

// Closes a handle. The count stays in the segment. A child made by fork(2) closes its own copy.
//
// semaphore: a handle, which no other thread uses, except in shm_semaphore_post(); NULL does nothing. Later calls on
// it, or with its canceller, are undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_semaphore_close(struct shm_semaphore *semaphore);

// Opens a mutex around some bytes, or creates it with bytes that are 0. All processes make this call. If another
// process is creating the mutex, this call waits up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// size: how many bytes the mutex protects; 0 or more. All processes give the same.
// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
// same.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
// creates it if it does not exist; 0 opens one that exists.
//
// Returns: a handle, which shm_mutex_close() closes; or NULL. The segment stays until
// shm_remove(shm_mutex_id(mutex)).
// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty or too long, size is too
// large, layout is too long or not UTF-8, the mode lacks a bit of 0600, or flags has an undefined bit; EFAULT the name
// is NULL, or the name or layout is an invalid pointer; EACCES flags has SHMKEY_READ_ONLY, or the segment's mode does
// not let this process write; ENOTUNIQ another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind
// of object, another size or layout, or no object of this library is there; EPROTONOSUPPORT, ENOEXEC another version
// of this library, or a program for another architecture, created it; ENODATA, EBADMSG the segment is too small or
// malformed; ETIMEDOUT the process that creates it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for
// shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_mutex *shm_mutex_open(const char *name, size_t size, const char *layout, int flags);

// Opens a mutex at a place: by a name, by a path and a project id, or in a segment that exists, where it takes 1024
// bytes plus size. Apart from that, it does the same as shm_mutex_open().
//
// place: where the mutex lies, how long to wait for its creator, and who must own the segment. It is read during
// the call only.
// size: how many bytes the mutex protects; 0 or more. All processes give the same.
// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
// same.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
// place has a name or a path. 0 opens one that exists.
//
// Returns: a handle, which shm_mutex_close() closes; or NULL.
// Errors: those of shm_mutex_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE
struct shm_mutex *shm_mutex_open_at(const struct shm_place *place,
                                    size_t size,
                                    const char *layout,
                                    int flags);

// Locks a mutex for the calling thread. There are THREE results, and the thread has the lock after two of them.
// Signals do not end the wait, unless shm_mutex_set_interruptible() allows it.
//
// mutex: a handle that is open.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0, the thread has the lock; EOWNERDEAD, a positive number, the thread HAS the lock, but the last owner died
// while it had the lock: repair the bytes and call shm_mutex_consistent() before shm_mutex_unlock(), or the bytes are
// lost to all processes; -1, the thread does NOT have the lock, and errno says why. So switch (shm_mutex_lock(mutex,
// timeout)) has case 0, case EOWNERDEAD and default. EOWNERDEAD is not a failure, and does not change errno and
// shm_last_error().
// Errors: ETIMEDOUT another thread had the lock for that long; EAGAIN another thread has it and timeout is
// SHMKEY_NO_WAIT; EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait; EDEADLK this thread has it
// already; ENOTRECOVERABLE the bytes are lost, because an owner died and the next one did not mark them as consistent:
// remove the segment, and create the mutex again; EINVAL timeout is less than -1; EFAULT mutex is NULL.
// Threads: any; not in a signal handler. The lock belongs to the thread, and not to a child made by fork(2).
SHMKEY_MUST_USE int shm_mutex_lock(struct shm_mutex *mutex, int64_t timeout);

// Returns the bytes that a mutex protects. Only the thread that has the lock may read and write them.
//
// mutex: a handle that is open.
//
// Returns: their address, 64-byte aligned, the same until the handle is closed; or NULL.
// Errors: EFAULT mutex is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE void *shm_mutex_data(struct shm_mutex *mutex);

// Marks the bytes as consistent, after shm_mutex_lock() has returned EOWNERDEAD.
//
// mutex: a handle that is open.
//
// Returns: 0, even if they are marked already; or -1.
// Errors: EPERM this thread does not have the lock; EFAULT mutex is NULL.
// Threads: the one that has the lock; not in a signal handler.
int shm_mutex_consistent(struct shm_mutex *mutex);

// Unlocks a mutex.
//
// mutex: a handle that is open.
//
// Returns: 0; or -1.
// Errors: EPERM this thread does not have the lock; EFAULT mutex is NULL.
// Threads: the one that has the lock; not in a signal handler.
int shm_mutex_unlock(struct shm_mutex *mutex);

// Sets whether a signal handler that runs during a wait of shm_mutex_lock() ends it: the call then fails with EINTR
// and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait, or between
// two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was installed with
// SA_RESTART ends a wait, too, unless shm_mutex_canceller() was called before.
//
// mutex: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT mutex is NULL.
// Threads: any; not in a signal handler.
int shm_mutex_set_interruptible(struct shm_mutex *mutex, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_mutex_lock(). Call this before the
// wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
// handle wakes up every 8 ms while it waits.
//
// mutex: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT mutex is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_mutex_canceller(struct shm_mutex *mutex);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// mutex: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT mutex is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_mutex_id(const struct shm_mutex *mutex);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// mutex: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT mutex is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_mutex_removed(const struct shm_mutex *mutex);

// Closes a handle. Unlock the mutex first: if this thread closes the handle while it has the lock, the mutex stays
// locked until the thread ends. A child made by fork(2) closes its own copy.
//
// mutex: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
// undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_mutex_close(struct shm_mutex *mutex);

// Opens a condition variable, or creates it. All processes make this call. If another process is creating the
// condition variable, this call waits up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
// creates it if it does not exist; 0 opens one that exists.
//
// Returns: a handle, which shm_condvar_close() closes; or NULL. The segment stays until
// shm_remove(shm_condvar_id(condvar)).
// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty or too long, the mode
// lacks a bit of 0600, or flags has an undefined bit; EFAULT the name is NULL or an invalid pointer; EACCES flags has
// SHMKEY_READ_ONLY, or the segment's mode does not let this process write; ENOTUNIQ another name or file has this key;
// EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another layout, or no object of this library is there;
// EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another architecture, created it;
// ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates it is live and has not
// finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_condvar *shm_condvar_open(const char *name, int flags);

// Opens a condition variable at a place: by a name, by a path and a project id, or in a segment that exists, where it
// takes 1024 bytes. Apart from that, it does the same as shm_condvar_open().
//
// place: where the condition variable lies, how long to wait for its creator, and who must own the segment. It is read
// during the call only.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
// place has a name or a path. 0 opens one that exists.
//
// Returns: a handle, which shm_condvar_close() closes; or NULL.
// Errors: those of shm_condvar_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_condvar *shm_condvar_open_at(const struct shm_place *place, int flags);

// Unlocks a mutex, waits for a notification, and locks the mutex again. Call it in a loop, until the bytes are as the
// thread needs them: a wait may end without a notification. If the result is 0 or EOWNERDEAD, or errno is ETIMEDOUT,
// EAGAIN, EINTR or ECANCELED, the thread HAS the mutex. Signals do not end the wait, unless
// shm_condvar_set_interruptible() allows it.
//
// condvar: a handle that is open.
// mutex: a handle that is open, of a mutex that this thread has. All threads that wait at the same time use the same
// mutex.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER. It limits the wait for a
// notification; the wait for the mutex after that has no limit, and neither a signal nor a cancellation ends it.
//
// Returns: 0, the wait has ended; EOWNERDEAD, a positive number, it has ended, and the last owner died while it had
// the mutex, as for shm_mutex_lock(); or -1.
// Errors: ETIMEDOUT no notification came for that long; EAGAIN no notification came, and timeout is SHMKEY_NO_WAIT;
// EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait (if the call returns EOWNERDEAD instead, a
// cancellation is kept). With the following errors, the thread does not have the mutex: EPERM it did not have it
// before, and has not waited; ENOTRECOVERABLE the bytes are lost, because this thread, before the wait, or another one
// unlocked the mutex without shm_mutex_consistent(). With the following errors, the call has done nothing: EINVAL
// timeout is less than -1; EFAULT condvar or mutex is NULL.
// Threads: the one that has the mutex; not in a signal handler.
SHMKEY_MUST_USE int shm_condvar_wait(struct shm_condvar *condvar, struct shm_mutex *mutex, int64_t timeout);

// Notifies one thread that waits; does nothing if none waits. The caller may have the mutex, but need not. The waits
// of the other threads end, too, within 300 ms.
//
// condvar: a handle that is open.
//
// Returns: 0; or -1.
// Errors: EFAULT condvar is NULL.
// Threads: any; not in a signal handler.
int shm_condvar_notify_one(struct shm_condvar *condvar);

// Notifies all threads that wait; does nothing if none waits. The caller may have the mutex, but need not.
//
// condvar: a handle that is open.
//
// Returns: 0; or -1.
// Errors: EFAULT condvar is NULL.
// Threads: any; not in a signal handler.
int shm_condvar_notify_all(struct shm_condvar *condvar);

// Sets whether a signal handler that runs while shm_condvar_wait() waits for a notification ends that wait: the call
// then fails with EINTR, and the thread has the mutex. By default, signals do not end waits. A handler that runs just
// before the wait, or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A
// handler that was installed with SA_RESTART ends a wait, too, unless shm_condvar_canceller() was called before.
//
// condvar: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT condvar is NULL.
// Threads: any; not in a signal handler.
int shm_condvar_set_interruptible(struct shm_condvar *condvar, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_condvar_wait(). Call this before the
// wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
// handle wakes up every 8 ms while it waits.
//
// condvar: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT condvar is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_condvar_canceller(struct shm_condvar *condvar);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// condvar: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT condvar is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_condvar_id(const struct shm_condvar *condvar);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// condvar: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT condvar is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_condvar_removed(const struct shm_condvar *condvar);

// Closes a handle. A child made by fork(2) closes its own copy.
//
// condvar: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
// undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_condvar_close(struct shm_condvar *condvar);

// Opens a reader-writer lock around some bytes, or creates it with bytes that are 0. All processes make this call. If
// another process is creating the lock, this call waits up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// size: how many bytes the lock protects; 0 or more. All processes give the same.
// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give
// the same.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
// creates it if it does not exist; 0 opens one that exists.
//
// Returns: a handle, which shm_rwlock_close() closes; or NULL. The segment stays until
// shm_remove(shm_rwlock_id(lock)).
// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty or too long, size is too
// large, layout is too long or not UTF-8, the mode lacks a bit of 0600, or flags has an undefined bit; EFAULT the name
// is NULL, or the name or layout is an invalid pointer; EACCES flags has SHMKEY_READ_ONLY, or the segment's mode does
// not let this process write; ENOTUNIQ another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind
// of object, another size or layout, or no object of this library is there; EPROTONOSUPPORT, ENOEXEC another version
// of this library, or a program for another architecture, created it; ENODATA, EBADMSG the segment is too small or
// malformed; ETIMEDOUT the process that creates it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for
// shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_rwlock *shm_rwlock_open(const char *name, size_t size, const char *layout, int flags);

// Opens a reader-writer lock at a place: by a name, by a path and a project id, or in a segment that exists, where it
// takes 5184 bytes plus size. Apart from that, it does the same as shm_rwlock_open().
//
// place: where the lock lies, how long to wait for its creator, and who must own the segment. It is read during
// the call only.
// size: how many bytes the lock protects; 0 or more. All processes give the same.
// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give
// the same.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
// place has a name or a path. 0 opens one that exists.
//
// Returns: a handle, which shm_rwlock_close() closes; or NULL.
// Errors: those of shm_rwlock_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE
struct shm_rwlock *shm_rwlock_open_at(const struct shm_place *place,
                                      size_t size,
                                      const char *layout,
                                      int flags);

// Locks a reader-writer lock for reading, for the calling thread. There are THREE results, and the thread has the
// lock after two of them. A thread may lock it for reading several times, and then unlocks it as many times.
// Signals do not end the wait, unless shm_rwlock_set_interruptible() allows it.
//
// lock: a handle that is open.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0, the thread has the lock; EOWNERDEAD, a positive number, the thread HAS the lock, but a writer died while
// it had the lock, so the bytes may be half changed; -1, the thread does NOT have the lock, and errno says why.
// EOWNERDEAD is not a failure, and does not change errno and shm_last_error(). A reader cannot repair the bytes: after
// EOWNERDEAD, it unlocks the lock, which loses nothing, and locks it for writing.
// Errors: ETIMEDOUT this thread did not get the lock in that time; EAGAIN another thread has it locked for writing,
// waits for that, or is just locking it, or 64 threads read, and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED a signal
// handler or shm_cancel() has ended the wait; EDEADLK this thread has it locked for writing; ENOTRECOVERABLE the bytes
// are lost, because a writer died and the next one did not mark them as consistent: remove the segment, and create the
// lock again; EINVAL timeout is less than -1; EFAULT lock is NULL.
// Threads: any; not in a signal handler. The lock belongs to the thread, and not to a child made by fork(2).
SHMKEY_MUST_USE int shm_rwlock_read(struct shm_rwlock *lock, int64_t timeout);

// Locks a reader-writer lock for writing, for the calling thread. There are THREE results, and the thread has the lock
// after two of them. Signals do not end the wait, unless shm_rwlock_set_interruptible() allows it.
//
// lock: a handle that is open.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0, the thread has the lock; EOWNERDEAD, a positive number, the thread HAS the lock, but a writer died while
// it had the lock: repair the bytes and call shm_rwlock_consistent() before shm_rwlock_unlock(), or the bytes are lost
// to all processes; -1, the thread does NOT have the lock, and errno says why. EOWNERDEAD is not a failure, and does
// not change errno and shm_last_error().
// Errors: ETIMEDOUT this thread did not get the lock in that time; EAGAIN another thread has it, or is just locking
// it, and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait; EDEADLK
// this thread has it already, for reading or for writing; ENOTRECOVERABLE the bytes are lost, because a writer died
// and the next one did not mark them as consistent: remove the segment, and create the lock again; EINVAL timeout is
// less than -1; EFAULT lock is NULL.
// Threads: any; not in a signal handler. The lock belongs to the thread, and not to a child made by fork(2).
SHMKEY_MUST_USE int shm_rwlock_write(struct shm_rwlock *lock, int64_t timeout);

// Returns the bytes that a reader-writer lock protects. A thread may read them while it has the lock, and change them
// while it has the lock for writing.
//
// lock: a handle that is open.
//
// Returns: their address, 64-byte aligned, the same until the handle is closed; or NULL.
// Errors: EFAULT lock is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE void *shm_rwlock_data(struct shm_rwlock *lock);

// Marks the bytes as consistent, after shm_rwlock_write() has returned EOWNERDEAD.
//
// lock: a handle that is open.
//
// Returns: 0, even if they are marked already; or -1.
// Errors: EPERM this thread does not have the lock for writing; EFAULT lock is NULL.
// Threads: the one that has the lock; not in a signal handler.
int shm_rwlock_consistent(struct shm_rwlock *lock);

// Unlocks a reader-writer lock that this thread has for reading or for writing.
//
// lock: a handle that is open.
//
// Returns: 0; or -1.
// Errors: EPERM this thread does not have the lock; EFAULT lock is NULL.
// Threads: the one that has the lock; not in a signal handler.
int shm_rwlock_unlock(struct shm_rwlock *lock);

// Sets whether a signal handler that runs during a wait of shm_rwlock_read() or shm_rwlock_write() ends it: the call
// then fails with EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before
// the wait, or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that
// was installed with SA_RESTART ends a wait, too, unless shm_rwlock_canceller() was called before.
//
// lock: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT lock is NULL.
// Threads: any; not in a signal handler.
int shm_rwlock_set_interruptible(struct shm_rwlock *lock, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_rwlock_read() or shm_rwlock_write().
// Call this before the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by
// futex_waitv(2). Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends
// within 8 ms, and the handle wakes up every 8 ms while it waits.
//
// lock: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT lock is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_rwlock_canceller(struct shm_rwlock *lock);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// lock: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT lock is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_rwlock_id(const struct shm_rwlock *lock);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// lock: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT lock is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_rwlock_removed(const struct shm_rwlock *lock);

// Closes a handle. Unlock the lock first: if this thread closes the handle while it has the lock, the lock stays
// locked until the thread ends. A child made by fork(2) closes its own copy.
//
// lock: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
// undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_rwlock_close(struct shm_rwlock *lock);

// Opens a latest value, or creates one in which no value is published yet. All processes make this call. If another
// process is creating the latest value, this call waits up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// size: the size of a value in bytes; 0 or more. All processes give the same.
// layout: a name for the type of the value, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
// same.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600, creates it
// if it does not exist; 0 opens one that exists; SHMKEY_READ_ONLY opens one that exists, and attaches its segment for
// reading only.
//
// Returns: a handle, which shm_latest_close() closes; or NULL. The segment stays until
// shm_remove(shm_latest_id(latest)).
// Errors: ENOENT it does not exist, and flags has no SHMKEY_CREATE or has SHMKEY_READ_ONLY; EINVAL the name is empty
// or too long, size is too large, layout is too long or not UTF-8, the mode lacks a bit of 0600, or flags has an
// undefined bit; EFAULT the name is NULL, or the name or layout is an invalid pointer; EACCES the segment's mode does
// not let this process read; ENOTUNIQ another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind
// of object, another size or layout, or no object of this library is there; EPROTONOSUPPORT, ENOEXEC another version
// of this library, or a program for another architecture, created it; ENODATA, EBADMSG the segment is too small or
// malformed; ETIMEDOUT the process that creates it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for
// shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_latest *shm_latest_open(const char *name, size_t size, const char *layout, int flags);

// Opens a latest value at a place: by a name, by a path and a project id, or in a segment that exists. There it takes
// 1024 bytes plus several times the size rounded up to a multiple of 64: four times if that is at most 256, else
// twice. Apart from that, it does the same as shm_latest_open().
//
// place: where the value lies, how long to wait for its creator, and who must own the segment. It is read during
// the call only.
// size: the size of a value in bytes; 0 or more. All processes give the same.
// layout: a name for the type of the value, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
// same.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the place
// has a name or a path. 0 opens one that exists; SHMKEY_READ_ONLY opens one that exists, and attaches its segment for
// reading only.
//
// Returns: a handle, which shm_latest_close() closes; or NULL.
// Errors: those of shm_latest_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE
struct shm_latest *shm_latest_open_at(const struct shm_place *place,
                                      size_t size,
                                      const char *layout,
                                      int flags);

// Publishes a value and wakes the threads that wait for one. The first handle that publishes is the publisher
// until it is closed or its process ends.
//
// latest: a handle that is open.
// value: the value, of the size that the handle was opened with. The bytes are copied, and may lie in shared memory.
//
// Returns: 0; or -1.
// Errors: EBUSY another handle is the publisher, and its process is not known to be dead; EACCES the handle was
// opened with SHMKEY_READ_ONLY, or the segment's mode does not let this process write; EFAULT latest is NULL, or
// value is NULL and its size is not 0.
// Threads: one at a time publishes with a handle, while others read with it; not in a signal handler.
SHMKEY_MUST_USE int shm_latest_publish(struct shm_latest *latest, const void *value);

// Copies the newest value. Readers and the publisher never wait for each other.
//
// latest: a handle that is open.
// value: room for a value, of the size that the handle was opened with.
//
// Returns: the value's version, 1 for the first published value; 0 if none was published, and then the bytes at
// value are arbitrary; or -1.
// Errors: ESTALE the publisher overtook the copy 100,000 times in a row; EFAULT latest is NULL, or value is NULL and
// its size is not 0.
// Threads: any number at a time; not in a signal handler.
SHMKEY_MUST_USE int64_t shm_latest_read(const struct shm_latest *latest, void *value);

// Waits until the newest value has another version than seen, and copies that value. Signals do not end the wait,
// unless shm_latest_set_interruptible() allows it.
//
// latest: a handle that is open.
// seen: the version that the caller has read last; 0 for none.
// value: room for a value, of the size that the handle was opened with.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: the value's version, 1 or more; or -1.
// Errors: ETIMEDOUT no such value was published in time; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR,
// ECANCELED a signal handler or shm_cancel() has ended the wait; ESTALE the publisher overtook the copy 100,000
// times in a row; EBADMSG the object is malformed; EINVAL timeout is less than -1; EFAULT latest is NULL, or value
// is NULL and its size is not 0.
// Threads: any number at a time; not in a signal handler.
SHMKEY_MUST_USE
int64_t shm_latest_read_newer(const struct shm_latest *latest,
                              int64_t seen,
                              void *value,
                              int64_t timeout);

// Returns a descriptor that is readable when there may be a newer value: for poll(2), select(2), epoll(7) (level- or
// edge-triggered) and event loops.
//
// When the descriptor is readable, call shm_latest_read_newer() with SHMKEY_NO_WAIT until that fails with EAGAIN. The
// call that fails makes the descriptor unreadable until the next value is published, but for at most 250 ms. Do not
// read or close it. The first poll returns at once. shm_ring_fd() says when such a descriptor becomes readable; that
// of a handle with SHMKEY_READ_ONLY becomes readable only 250 ms after each EAGAIN.
//
// latest: a handle that is open.
//
// Returns: the descriptor, the same for each call, which belongs to the handle: shm_latest_close() and execve(2) close
// it; or -1.
// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EFAULT latest is NULL.
// Threads: any, but one at a time waits with the descriptor; not in a signal handler. A child made by fork(2) calls
// this again, and gets a descriptor of its own.
SHMKEY_MUST_USE int shm_latest_fd(const struct shm_latest *latest);

// Returns the version of the newest value without copying it.
//
// latest: a handle that is open.
//
// Returns: 1 or more; 0 if no value was published; or -1.
// Errors: EFAULT latest is NULL.
// Threads: any number at a time; not in a signal handler.
SHMKEY_MUST_USE int64_t shm_latest_version(const struct shm_latest *latest);

// Sets whether a signal handler that runs during a wait of shm_latest_read_newer() ends it: the call then fails with
// EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait, or
// between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was installed
// with SA_RESTART ends a wait, too, unless shm_latest_canceller() was called before.
//
// latest: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT latest is NULL.
// Threads: any; not in a signal handler.
int shm_latest_set_interruptible(struct shm_latest *latest, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_latest_read_newer(). Call this before
// the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
// handle wakes up every 8 ms while it waits.
//
// latest: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT latest is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_latest_canceller(struct shm_latest *latest);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// latest: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT latest is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_latest_id(const struct shm_latest *latest);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// latest: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT latest is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_latest_removed(const struct shm_latest *latest);

// Closes a handle. If it was the publisher, another handle can become the publisher. A child made by fork(2)
// closes its own copy.
//
// latest: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
// undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_latest_close(struct shm_latest *latest);

// Opens a ring, or creates it. All processes make this call. If another process is creating the ring, this call waits
// up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// capacity: the length of the longest message in bytes, and the room for all messages; 64 or more. All processes give
// the same. 0 opens a ring that exists, whatever its capacity and options are.
// options: 0, or SHMKEY_MANY_SENDERS, SHMKEY_DROP_OLDEST or both. All processes give the same.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
// creates it if it does not exist; 0 opens one that exists.
//
// Returns: a handle, which shm_ring_close() closes; or NULL. The segment stays until
// shm_remove(shm_ring_id(ring)).
// Errors: ENOENT it does not exist, and flags has no SHMKEY_CREATE or capacity is 0; EINVAL the name is empty or too
// long, capacity is 1 to 63 or too large, the mode lacks a bit of 0600, or options or flags has an undefined bit (a
// flag is undefined in options, and an option in flags); EFAULT the name is NULL or an invalid pointer; EACCES flags
// has SHMKEY_READ_ONLY, or the segment's mode does not let this process write; ENOTUNIQ another name or file has this
// key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another capacity or other options, or no object of this
// library is there; EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another architecture,
// created it; ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates it is live
// and has not finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_ring *shm_ring_open(const char *name, size_t capacity, int options, int flags);

// Opens a ring at a place: by a name, by a path and a project id, or in a segment that exists, where it takes at most
// 2560 bytes plus 5/4 of the capacity. Apart from that, it does the same as shm_ring_open().
//
// place: where the ring lies, how long to wait for its creator, and who must own the segment. It is read during the
// call only.
// capacity: the length of the longest message in bytes, and the room for all messages; 64 or more. All processes give
// the same. 0 opens a ring that exists, whatever its capacity and options are.
// options: 0, or SHMKEY_MANY_SENDERS, SHMKEY_DROP_OLDEST or both. All processes give the same.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
// place has a name or a path. 0 opens one that exists.
//
// Returns: a handle, which shm_ring_close() closes; or NULL.
// Errors: those of shm_ring_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE
struct shm_ring *shm_ring_open_at(const struct shm_place *place,
                                  size_t capacity,
                                  int options,
                                  int flags);

// Sends a message; waits for room. The first handle that calls this function becomes the sender, even if the call fails
// because the message is too long or there is no room. It stays the sender until it is closed, ends sending, or its
// process ends. A ring with SHMKEY_MANY_SENDERS has up to 64 senders. Signals do not end the wait, unless
// shm_ring_set_interruptible() allows it.
//
// ring: a handle that is open.
// message: the bytes, which are copied and may lie in shared memory.
// size: how many bytes, 0 to the ring's capacity.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0; or -1.
// Errors: ETIMEDOUT there was no room in time; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; both also if
// another sender of a ring with SHMKEY_MANY_SENDERS has a slot reserved, or was interrupted while it was sending;
// EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait; EMSGSIZE size is larger than the capacity;
// EBUSY another handle is the sender, and its process is not known to be dead; ENOSPC there are 64 senders; EPIPE,
// EOWNERDEAD there is no room, and the receiver has released its role or died; EBADMSG another program has
// overwritten the ring; EINVAL this handle has a slot reserved, or timeout is less than -1; EDEADLK this thread has a
// slot reserved by another handle of a ring with SHMKEY_MANY_SENDERS; EFAULT ring is NULL, or message is NULL and
// size is not 0.
// Threads: one at a time sends with a handle, while another receives with it; not in a signal handler.
SHMKEY_MUST_USE int shm_ring_send(struct shm_ring *ring, const void *message, size_t size, int64_t timeout);

// Sends several messages, as many as there is room for before the timeout. Those for which there is room together
// become visible to the receiver at once. Stops at a message that cannot be sent, as sendmmsg(2) does: those before
// it are sent, and the next call, which begins with it, reports the error.
//
// ring: a handle that is open.
// messages: an array of count structures. Each is read once. The structures, and the bytes that they point to, may
// lie in shared memory.
// count: how many messages. If it is 0, the call returns 0 without waiting, and the handle does not become the
// sender.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: how many messages were sent, beginning with the first; or -1, and then none was.
// Errors: those of shm_ring_send(); EFAULT messages is NULL and count is not 0; EINVAL count structures do not fit
// into memory.
// Threads: one at a time sends with a handle, while another receives with it; not in a signal handler.
SHMKEY_MUST_USE
ptrdiff_t shm_ring_send_batch(struct shm_ring *ring,
                              const struct shm_bytes *messages,
                              size_t count,
                              int64_t timeout);

// Reserves room for a message, which the caller writes in place; waits for room. shm_ring_commit() sends the message,
// and shm_ring_abort() aborts the slot; until then the handle sends nothing else. In a ring with SHMKEY_MANY_SENDERS
// the other senders wait until then.
//
// If the thread that has reserved the slot ends, the next call that sends with this handle aborts the slot. In a ring
// with SHMKEY_MANY_SENDERS, the next call that sends with any handle aborts it; with SHMKEY_NO_WAIT, such a call may
// fail with EAGAIN until about 10 ms after the thread has ended. shm_ring_end_sending() and shm_ring_close() abort it,
// too; while that thread is live, they fail in every other thread (EPERM).
//
// ring: a handle that is open.
// size: how many bytes, 0 to the ring's capacity.
// slot: where to store the slot. The caller may write its bytes until the slot is committed or aborted.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0; or -1.
// Errors: those of shm_ring_send(); EFAULT slot is NULL; ENOMEM the slot wraps around the end of the ring's memory,
// and a buffer of the ring's size, which the handle allocates once, cannot be allocated. A slot of at most an eighth
// of the capacity, less 8 bytes, never wraps.
// Threads: one at a time sends with a handle, while another receives with it; not in a signal handler. In a ring with
// SHMKEY_MANY_SENDERS, the thread that has reserved a slot commits or aborts it.
SHMKEY_MUST_USE int shm_ring_reserve(struct shm_ring *ring, size_t size, struct shm_slot *slot, int64_t timeout);

// Sends the message that was written into a slot.
//
// ring: the handle that has reserved the slot.
// slot: as shm_ring_reserve() has stored it.
// size: the length of the message in bytes, at most that of the slot. The message begins at the slot's first byte.
//
// Returns: 0; or -1, and then nothing has changed: a reserved slot stays reserved.
// Errors: EPERM the slot is no longer reserved, or was reserved by this process's parent or, in a ring with
// SHMKEY_MANY_SENDERS, by another thread; EINVAL the slot has fewer bytes; EFAULT ring or slot is NULL.
// Threads: one at a time sends with a handle; in a ring with SHMKEY_MANY_SENDERS, the one that has reserved the slot;
// not in a signal handler.
SHMKEY_MUST_USE int shm_ring_commit(struct shm_ring *ring, const struct shm_slot *slot, size_t size);

// Aborts a slot; sends nothing.
//
// ring: the handle that has reserved the slot.
// slot: as shm_ring_reserve() has stored it.
//
// Returns: 0; or -1, and then nothing has changed.
// Errors: EPERM the slot is no longer reserved, or was reserved by this process's parent or, in a ring with
// SHMKEY_MANY_SENDERS, by another thread; EFAULT ring or slot is NULL.
// Threads: one at a time sends with a handle; in a ring with SHMKEY_MANY_SENDERS, the one that has reserved the slot;
// not in a signal handler.
int shm_ring_abort(struct shm_ring *ring, const struct shm_slot *slot);

// Receives a message into a buffer; waits for one. The first handle that receives is the receiver until it is closed,
// ends receiving, or its process ends. Signals do not end the wait, unless shm_ring_set_interruptible() allows it.
//
// ring: a handle that is open.
// buffer: room for size bytes.
// size: in bytes; the ring's capacity is enough for every message.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: the message's length in bytes, 0 or more; or -1.
// Errors: ETIMEDOUT there was no message in time; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED
// a signal handler or shm_cancel() has ended the wait; EMSGSIZE the buffer is too short, and the message stays the
// next one; EBUSY another handle is the receiver, and its process is not known to be dead; EPIPE there is no message,
// and all senders have released their roles; EOWNERDEAD the same, but a sender died instead; EBADMSG another program
// has overwritten the ring; EINVAL timeout is less than -1; EFAULT ring is NULL, or buffer is NULL and size is not 0,
// or size is larger than PTRDIFF_MAX.
// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
SHMKEY_MUST_USE ptrdiff_t shm_ring_recv(struct shm_ring *ring, void *buffer, size_t size, int64_t timeout);

// Receives several messages: waits for the first, and also takes those that follow it in the ring and fit into the
// buffer.
//
// ring: a handle that is open.
// buffer: room for size bytes. The messages are stored one behind the other.
// size: in bytes.
// lengths: room for count lengths, in bytes.
// count: the largest number of messages. With 0, the call receives none, does not wait, and returns 0.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: how many messages were received; or -1, and then none was.
// Errors: those of shm_ring_recv(); EFAULT lengths is NULL and count is not 0; EINVAL count lengths do not fit into
// memory.
// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
SHMKEY_MUST_USE
ptrdiff_t shm_ring_recv_batch(struct shm_ring *ring,
                              void *buffer,
                              size_t size,
                              size_t *lengths,
                              size_t count,
                              int64_t timeout);

// Waits for a message and gives access to it in place. The message stays the next one until shm_ring_release().
// Another call that peeks or receives begins with the same message, and ends this access even if it fails.
//
// ring: a handle that is open.
// message: where to store the message.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: the message's length in bytes, 0 or more; or -1.
// Errors: those of shm_ring_recv(), except EMSGSIZE; EFAULT message is NULL; ENOMEM the message wraps around the end
// of the ring's memory, and a buffer of the ring's size, which the handle allocates once, cannot be allocated.
// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
SHMKEY_MUST_USE ptrdiff_t shm_ring_peek(struct shm_ring *ring, struct shm_message *message, int64_t timeout);

// Returns a descriptor that is readable when there may be a message, or when the senders have released their roles or
// died: for poll(2), select(2), epoll(7) (level- or edge-triggered) and event loops. The handle becomes the receiver,
// as in shm_ring_recv().
//
// When the descriptor is readable, call shm_ring_recv(), shm_ring_recv_batch() or shm_ring_peek() with SHMKEY_NO_WAIT
// until that fails with EAGAIN, which makes the descriptor unreadable until the next message, but for at most 250 ms.
// A call that fails with EPIPE or EOWNERDEAD leaves it readable; after shm_ring_set_keep_waiting(), receiving does not
// fail with these. Do not read from the descriptor. The first poll returns at once.
//
// The descriptor contains two others, which the library opens with it, and the first call that makes a descriptor of
// another handle readable opens one more, which stays open until the process ends. Do not close any of them. A program
// that has closed all, as closefrom(3) does, may still close the handle: that closes no descriptor opened since.
//
// After a call has failed with EAGAIN, the next message costs its sender one system call, which makes the descriptor
// readable; the messages after it cost none, until a call fails with EAGAIN again. The descriptor also becomes
// readable 250 ms after each EAGAIN, so the receiver notices a death within 300 ms. A process of another network
// namespace cannot make the descriptor readable, and its messages are noticed within 250 ms. The same holds for a
// descriptor for which there was no room, because 48 others already wait for the object.
//
// ring: a handle that is open.
//
// Returns: the descriptor, the same for each call, which belongs to the handle: shm_ring_close(),
// shm_ring_end_receiving() and execve(2) close it; or -1.
// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EBUSY another handle is
// the receiver, and its process is not known to be dead; EFAULT ring is NULL.
// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler. A child made by
// fork(2) must not use its parent's descriptor.
SHMKEY_MUST_USE int shm_ring_fd(struct shm_ring *ring);

// Releases the peeked message, so that the one after it is the next. Check the result: with SHMKEY_DROP_OLDEST, a
// sender may have overwritten the message while it was read.
//
// ring: the handle that has peeked.
// message: as shm_ring_peek() has stored it.
//
// Returns: 0; or -1.
// Errors: EPERM the message was released or received, the handle has peeked again, or this process's parent has
// peeked; then nothing has changed; ESTALE the sender of a ring with SHMKEY_DROP_OLDEST has dropped the message, and
// the bytes that were read are arbitrary; EFAULT ring or message is NULL.
// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
SHMKEY_MUST_USE int shm_ring_release(struct shm_ring *ring, const struct shm_message *message);

// Takes the sender's role before there is anything to send, so that the receiver notices if this process dies. Waits up
// to 30 microseconds for a sender that is sending, if the ring has SHMKEY_MANY_SENDERS and processes of several PID
// namespaces have used it.
//
// ring: a handle that is open.
//
// Returns: 0, even if this handle has the role already; or -1.
// Errors: EBUSY another handle is the sender, and its process is not known to be dead; ENOSPC there are 64 senders;
// EBADMSG another program has overwritten the ring; EINVAL this handle has a slot reserved; EFAULT ring is NULL.
// Threads: one at a time sends with a handle; not in a signal handler.
int shm_ring_begin_sending(struct shm_ring *ring);

// Takes the receiver's role before there is anything to receive, so that the senders notice if this process dies.
//
// ring: a handle that is open.
//
// Returns: 0, even if this handle has the role already; or -1.
// Errors: EBUSY another handle is the receiver, and its process is not known to be dead; EFAULT ring is NULL.
// Threads: one at a time receives with a handle; not in a signal handler.
int shm_ring_begin_receiving(struct shm_ring *ring);

// Releases the sender's role, and aborts a reserved slot. If this was the last sender, the receiver gets EPIPE when it
// has received all messages.
//
// ring: a handle that is open.
//
// Returns: 0, even if this handle does not have the role; or -1, and then nothing has changed.
// Errors: EPERM another live thread has a slot reserved with this handle; EFAULT ring is NULL.
// Threads: one at a time sends with a handle; not in a signal handler.
int shm_ring_end_sending(struct shm_ring *ring);

// Releases the receiver's role. A sender that waits for room gets EPIPE.
//
// ring: a handle that is open.
//
// Returns: 0, even if this handle does not have the role; or -1.
// Errors: EFAULT ring is NULL.
// Threads: one at a time receives with a handle; not in a signal handler.
int shm_ring_end_receiving(struct shm_ring *ring);

// Returns the length of the longest message: the capacity that the ring was created with.
//
// ring: a handle that is open.
//
// Returns: that length in bytes; or -1.
// Errors: EFAULT ring is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE ptrdiff_t shm_ring_capacity(const struct shm_ring *ring);

// Returns the number of bytes that are in use: those of all messages that are not released, with their headers.
//
// ring: a handle that is open.
//
// Returns: 0 or more; or -1.
// Errors: EFAULT ring is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE ptrdiff_t shm_ring_used(const struct shm_ring *ring);

// Returns the number of messages that senders have dropped to make room, since the ring was created.
//
// ring: a handle that is open.
//
// Returns: 0 or more; or -1.
// Errors: EFAULT ring is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int64_t shm_ring_dropped(const struct shm_ring *ring);

// Sets whether receiving continues to wait when all senders have released their roles or died: for a program that
// serves one peer after another, such as a log daemon. By default, receiving then fails with EPIPE or EOWNERDEAD. With
// this option, a wait ends only with a message, at its timeout, or because it is interrupted or cancelled.
//
// ring: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT ring is NULL.
// Threads: one at a time receives with a handle; not in a signal handler.
int shm_ring_set_keep_waiting(struct shm_ring *ring, int on);

// Sets whether a signal handler that runs while a call waits to send or to receive ends the wait: the call then fails
// with EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait,
// or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was
// installed with SA_RESTART ends a wait, too, unless shm_ring_canceller() was called before.
//
// ring: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT ring is NULL.
// Threads: any; not in a signal handler.
int shm_ring_set_interruptible(struct shm_ring *ring, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of the calls that send and receive. Call this
// before the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by
// futex_waitv(2). Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends
// within 8 ms, and the handle wakes up every 8 ms while it waits.
//
// ring: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT ring is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_ring_canceller(struct shm_ring *ring);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// ring: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT ring is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_ring_id(const struct shm_ring *ring);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// ring: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT ring is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_ring_removed(const struct shm_ring *ring);

// Closes a handle: releases its roles and aborts a reserved slot. Sent messages stay. A child made by fork(2) closes
// its own copy.
//
// If another live thread has a slot reserved with this handle, it may be writing into that slot: then the handle is
// not closed and stays valid, and errno is EPERM.
//
// ring: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
// undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_ring_close(struct shm_ring *ring);

// Opens a broadcast, or creates it. All processes make this call. If another process is creating the broadcast, this
// call waits up to 5 seconds for it to finish.
//
// name: 1 to 256 bytes of any value and a NUL.
// capacity: in bytes, 64 or more: the length of the longest message. There is room for one such message, or for
// shorter ones that together take as much or a little more; each takes its length plus 16 bytes, rounded up to a
// multiple of 64. All processes give the same. 0 opens a broadcast that exists, whatever its capacity and options are.
// options: 0, or SHMKEY_LOSSY. All processes give the same.
// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
// creates it if it does not exist; 0 opens one that exists; SHMKEY_READ_ONLY opens a lossy one that exists, to
// subscribe.
//
// Returns: a handle, which shm_broadcast_close() closes; or NULL. The segment stays until
// shm_remove(shm_broadcast_id(broadcast)).
// Errors: ENOENT it does not exist, and flags has no SHMKEY_CREATE or has SHMKEY_READ_ONLY, or capacity is 0; EINVAL
// the name is empty or too long, capacity is 1 to 63 or too large, the mode lacks a bit of 0600, or options or flags
// has an undefined bit (a flag is undefined in options, and an option in flags); EFAULT the name is NULL or an invalid
// pointer; EACCES the segment's mode does not let this process read, or the broadcast is lossless and flags has
// SHMKEY_READ_ONLY or the mode does not let this process write; ENOTUNIQ another name or file has this key;
// EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another capacity or other options, or no object of this
// library is there; EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another architecture,
// created it; ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates it is live
// and has not finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_broadcast *shm_broadcast_open(const char *name, size_t capacity, int options, int flags);

// Opens a broadcast at a place: by a name, by a path and a project id, or in a segment that exists, where it takes at
// most 5888 bytes plus 9/8 of the capacity. Apart from that, it does the same as shm_broadcast_open().
//
// place: where the broadcast lies, how long to wait for its creator, and who must own the segment. It is read during
// the call only.
// capacity: in bytes, 64 or more: the length of the longest message. There is room for one such message, or for
// shorter ones that together take as much or a little more; each takes its length plus 16 bytes, rounded up to a
// multiple of 64. All processes give the same. 0 opens a broadcast that exists, whatever its capacity and options are.
// options: 0, or SHMKEY_LOSSY. All processes give the same.
// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
// place has a name or a path. 0 opens one that exists; SHMKEY_READ_ONLY opens a lossy one that exists, to subscribe.
//
// Returns: a handle, which shm_broadcast_close() closes; or NULL.
// Errors: those of shm_broadcast_open(); EINVAL the place names no segment or names one in two ways, its offset is not
// a multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE
struct shm_broadcast *shm_broadcast_open_at(const struct shm_place *place,
                                            size_t capacity,
                                            int options,
                                            int flags);

// Publishes a message. In a lossless broadcast, waits until the slowest subscriber has made room; after a timeout,
// shm_last_error() names its process. The first handle that publishes is the publisher, until
// shm_broadcast_end_publishing() or shm_broadcast_close(), or until its process ends. Signals do not end the wait,
// unless shm_broadcast_set_interruptible() allows it.
//
// broadcast: a handle that is open.
// message: the bytes, which are copied and may lie in shared memory.
// size: how many bytes, 0 to the broadcast's capacity.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0; or -1.
// Errors: ETIMEDOUT there was no room for that long; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR,
// ECANCELED a signal handler or shm_cancel() has ended the wait; EMSGSIZE size is larger than the capacity; EBUSY
// another handle is the publisher, and its process is not known to be dead; EBADMSG another program has overwritten
// the broadcast; EINVAL this handle has a slot reserved, or timeout is less than -1; EACCES this process cannot write
// the broadcast; EFAULT broadcast is NULL, or message is NULL and size is not 0.
// Threads: one at a time publishes with a handle, while another receives with it; not in a signal handler.
SHMKEY_MUST_USE
int shm_broadcast_publish(struct shm_broadcast *broadcast,
                          const void *message,
                          size_t size,
                          int64_t timeout);

// Publishes several messages, as many as there is room for before the timeout. Messages for which there is room
// together become visible to the subscribers at once. Stops at a message that cannot be published: those before it are
// published, and the next call, which begins with it, reports the error.
//
// broadcast: a handle that is open.
// messages: an array of count structures. Each is read once; they, and the bytes that they point to, may lie in shared
// memory.
// count: how many messages. If it is 0, the call returns 0 without waiting, and the handle does not become the
// publisher.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: how many messages were published, beginning with the first; or -1, and then none was.
// Errors: those of shm_broadcast_publish(); EFAULT messages is NULL and count is not 0; EINVAL count
// structures do not fit into memory.
// Threads: one at a time publishes with a handle, while another receives with it; not in a signal handler.
SHMKEY_MUST_USE
ptrdiff_t shm_broadcast_publish_batch(struct shm_broadcast *broadcast,
                                      const struct shm_bytes *messages,
                                      size_t count,
                                      int64_t timeout);

// Reserves room for a message, which the caller writes in place; in a lossless broadcast, waits for room.
// shm_broadcast_commit() publishes the message, shm_broadcast_abort() aborts the slot; until then the handle publishes
// nothing else. shm_broadcast_end_publishing() and shm_broadcast_close() abort it, too.
//
// broadcast: a handle that is open.
// size: how many bytes, 0 to the broadcast's capacity.
// slot: where to store the slot. The caller may write its bytes until the slot is committed or aborted. They are in
// the handle's own memory if they would wrap around the end of the broadcast's.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: 0; or -1.
// Errors: those of shm_broadcast_publish(); ENOMEM the slot wraps around the end of the broadcast's memory, and a
// buffer for it cannot be allocated; EFAULT slot is NULL.
// Threads: one at a time publishes with a handle, while another receives with it; not in a signal handler.
SHMKEY_MUST_USE
int shm_broadcast_reserve(struct shm_broadcast *broadcast,
                          size_t size,
                          struct shm_slot *slot,
                          int64_t timeout);

// Publishes the message in a slot.
//
// broadcast: the handle that has reserved the slot.
// slot: as shm_broadcast_reserve() has stored it.
// size: the length of the message in bytes, at most that of the slot. The message begins at the slot's first byte.
//
// Returns: 0; or -1, and then nothing has changed: a reserved slot stays reserved.
// Errors: EPERM the slot is no longer reserved, or this process's parent has reserved it; EINVAL the slot has fewer
// bytes; EFAULT broadcast or slot is NULL.
// Threads: one at a time publishes with a handle; not in a signal handler.
SHMKEY_MUST_USE int shm_broadcast_commit(struct shm_broadcast *broadcast, const struct shm_slot *slot, size_t size);

// Aborts a slot; publishes nothing.
//
// broadcast: the handle that has reserved the slot.
// slot: as shm_broadcast_reserve() has stored it.
//
// Returns: 0; or -1, and then nothing has changed.
// Errors: EPERM the slot is no longer reserved, or this process's parent has reserved it; EFAULT broadcast or slot is
// NULL.
// Threads: one at a time publishes with a handle; not in a signal handler.
int shm_broadcast_abort(struct shm_broadcast *broadcast, const struct shm_slot *slot);

// Takes the publisher's role before the first message, so that the subscribers notice if this process dies.
//
// broadcast: a handle that is open.
//
// Returns: 0, even if this handle has the role; or -1.
// Errors: EBUSY another handle is the publisher, and its process is not known to be dead; EBADMSG another program has
// overwritten the broadcast; EACCES this process cannot write it; EINVAL this handle has a slot reserved; EFAULT
// broadcast is NULL.
// Threads: one at a time publishes with a handle; not in a signal handler.
int shm_broadcast_begin_publishing(struct shm_broadcast *broadcast);

// Releases the publisher's role, and aborts a reserved slot. Subscribers that have received all messages then get
// EPIPE.
//
// broadcast: a handle that is open.
//
// Returns: 0, even if this handle does not have the role; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: one at a time publishes with a handle; not in a signal handler.
int shm_broadcast_end_publishing(struct shm_broadcast *broadcast);

// Subscribes a handle; if it is subscribed already, ends that subscription first. The handle receives the messages
// that are published from now on, or with SHMKEY_FROM_OLDEST also those that are not overwritten yet.
//
// broadcast: a handle that is open.
// options: 0, or SHMKEY_FROM_OLDEST.
//
// Returns: 0; or -1, and then the handle is not subscribed.
// Errors: ENOSPC there are 64 subscribers that are not known to be dead; EBADMSG another program has overwritten the
// broadcast; ESTALE the publisher of a lossy broadcast overwrites messages faster than this call finds the first one;
// EINVAL options has an undefined bit; EFAULT broadcast is NULL.
// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
SHMKEY_MUST_USE int shm_broadcast_subscribe(struct shm_broadcast *broadcast, int options);

// Ends the subscription of a handle: the publisher no longer waits for it.
//
// broadcast: a handle that is open.
//
// Returns: 0, even if this handle is not subscribed; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: one at a time receives with a handle; not in a signal handler.
int shm_broadcast_unsubscribe(struct shm_broadcast *broadcast);

// Receives a message into a buffer; waits for one. Signals do not end the wait, unless
// shm_broadcast_set_interruptible() allows it.
//
// broadcast: a handle that is subscribed.
// buffer: room for size bytes.
// size: in bytes; the broadcast's capacity is enough for every message.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: the message's length in bytes, 0 or more; or -1.
// Errors: ETIMEDOUT there was no message for that long; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR,
// ECANCELED a signal handler or shm_cancel() has ended the wait; EMSGSIZE the buffer is too short, and the message
// stays the next one; EPERM the handle is not subscribed in this process; EPIPE, EOWNERDEAD there is no message, and
// the publisher has released its role or died; ESTALE the publisher of a lossless broadcast has dropped this
// subscriber as a dead one; EBADMSG another program has overwritten the broadcast; EINVAL timeout is less than -1;
// EFAULT broadcast is NULL, or buffer is NULL and size is not 0, or size is larger than PTRDIFF_MAX.
// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
SHMKEY_MUST_USE
ptrdiff_t shm_broadcast_recv(struct shm_broadcast *broadcast,
                             void *buffer,
                             size_t size,
                             int64_t timeout);

// Receives several messages: waits for the first one, and also takes those that follow it and fit.
//
// broadcast: a handle that is subscribed.
// buffer: room for size bytes. The messages are stored one after the other.
// size: in bytes.
// lengths: room for count lengths, in bytes.
// count: the largest number of messages. With 0, the call receives none, does not wait, and returns 0.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: how many messages were received; or -1, and then none was.
// Errors: those of shm_broadcast_recv(); EFAULT lengths is NULL and count is not 0; EINVAL count lengths do not fit
// into memory.
// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
SHMKEY_MUST_USE
ptrdiff_t shm_broadcast_recv_batch(struct shm_broadcast *broadcast,
                                   void *buffer,
                                   size_t size,
                                   size_t *lengths,
                                   size_t count,
                                   int64_t timeout);

// Waits for a message and gives access to it: to a copy in the handle's own memory if the broadcast is lossy or the
// message wraps around the end of the broadcast's memory, otherwise in place. The message stays the next one until
// shm_broadcast_release(). The access ends with the next call that peeks or receives, even if that call fails, and
// with shm_broadcast_subscribe(), shm_broadcast_unsubscribe() and shm_broadcast_close().
//
// broadcast: a handle that is subscribed.
// message: where to store the message.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: the message's length in bytes, 0 or more; or -1.
// Errors: those of shm_broadcast_recv(), except EMSGSIZE; ENOMEM a copy cannot be allocated; EFAULT message is NULL.
// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
SHMKEY_MUST_USE
ptrdiff_t shm_broadcast_peek(struct shm_broadcast *broadcast,
                             struct shm_message *message,
                             int64_t timeout);

// Returns a descriptor that is readable when there may be a message, or when the publisher has released its role or
// died: for poll(2), select(2), epoll(7) (level- or edge-triggered) and event loops.
//
// When the descriptor is readable, call shm_broadcast_recv(), shm_broadcast_recv_batch() or shm_broadcast_peek() with
// SHMKEY_NO_WAIT until that fails with EAGAIN, which makes the descriptor unreadable until the next message, but for
// at most 250 ms. A call that fails with EPIPE or EOWNERDEAD leaves it readable; after
// shm_broadcast_set_keep_waiting(), receiving does not fail with these. Do not read from the descriptor or close it.
// The first poll returns at once. shm_ring_fd() says when such a descriptor becomes readable; that of a handle with
// SHMKEY_READ_ONLY becomes readable only 250 ms after each EAGAIN.
//
// broadcast: a handle that is subscribed.
//
// Returns: the descriptor, the same for each call, which belongs to the handle: shm_broadcast_close(),
// shm_broadcast_unsubscribe() and execve(2) close it; or -1.
// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EPERM the handle is not
// subscribed; EFAULT broadcast is NULL.
// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler. A child
// made by fork(2) must not use its parent's descriptor.
SHMKEY_MUST_USE int shm_broadcast_fd(struct shm_broadcast *broadcast);

// Releases the peeked message, so that the one after it becomes the next one.
//
// broadcast: the handle that has peeked.
// message: as shm_broadcast_peek() has stored it.
//
// Returns: 0; or -1.
// Errors: EPERM the message was released or received, the handle has peeked again, or this process's parent has
// peeked, and then nothing has changed; ESTALE the publisher of a lossless broadcast has dropped this subscriber as a
// dead one, and the bytes that were read are arbitrary; EFAULT broadcast or message is NULL.
// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
SHMKEY_MUST_USE int shm_broadcast_release(struct shm_broadcast *broadcast, const struct shm_message *message);

// Returns the number of messages that the publisher of a lossy broadcast overwrote before this handle received or
// peeked at them. It counts those that were published between the subscription and the last message that was received
// or peeked at. In a lossless broadcast, it is 0.
//
// broadcast: a handle that is subscribed.
//
// Returns: 0 or more; or -1.
// Errors: EPERM the handle is not subscribed; EFAULT broadcast is NULL.
// Threads: the one that receives with the handle; not in a signal handler.
SHMKEY_MUST_USE int64_t shm_broadcast_missed(struct shm_broadcast *broadcast);

// Returns the length of the longest message: the capacity that the broadcast was created with.
//
// broadcast: a handle that is open.
//
// Returns: that length in bytes; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE ptrdiff_t shm_broadcast_capacity(const struct shm_broadcast *broadcast);

// Returns the number of bytes that are in use: those of all messages that are not overwritten, with their headers,
// even if all subscribers have received them.
//
// broadcast: a handle that is open.
//
// Returns: 0 or more; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE ptrdiff_t shm_broadcast_used(const struct shm_broadcast *broadcast);

// Returns the number of subscribers. It includes dead ones until they are dropped, but not those whose handles have
// SHMKEY_READ_ONLY.
//
// broadcast: a handle that is open.
//
// Returns: 0 to 64; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_broadcast_subscribers(const struct shm_broadcast *broadcast);

// Sets whether receiving continues to wait when the publisher has released its role or died: for a program that serves
// one peer after another, such as a log daemon. By default, receiving then fails with EPIPE or EOWNERDEAD. With this
// option, a wait ends only with a message, at its timeout, or because it is interrupted or cancelled.
//
// broadcast: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: one at a time receives with a handle; not in a signal handler.
int shm_broadcast_set_keep_waiting(struct shm_broadcast *broadcast, int on);

// Sets whether a signal handler that runs while a call waits to publish or to receive ends the wait: the call then
// fails with EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the
// wait, or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was
// installed with SA_RESTART ends a wait, too, unless shm_broadcast_canceller() was called before.
//
// broadcast: a handle that is open.
// on: 1, or 0.
//
// Returns: 0; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: any; not in a signal handler.
int shm_broadcast_set_interruptible(struct shm_broadcast *broadcast, int on);

// Returns the canceller of a handle, with which shm_cancel() ends a wait of the calls that publish and receive. Call
// this before the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by
// futex_waitv(2). Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends
// within 8 ms, and the handle wakes up every 8 ms while it waits.
//
// broadcast: a handle that is open.
//
// Returns: the canceller, which is valid until the handle is closed; or NULL.
// Errors: EFAULT broadcast is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE struct shm_canceller *shm_broadcast_canceller(struct shm_broadcast *broadcast);

// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
//
// broadcast: a handle that is open.
//
// Returns: the id, 0 or more; or -1.
// Errors: EFAULT broadcast is NULL.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_broadcast_id(const struct shm_broadcast *broadcast);

// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
// call, about 0.3 us.
//
// broadcast: a handle that is open.
//
// Returns: 1 if it has been removed, 0 if not; or -1.
// Errors: EFAULT broadcast is NULL; EACCES only before Linux 4.17, this process has lost read permission.
// Threads: any; not in a signal handler.
SHMKEY_MUST_USE int shm_broadcast_removed(const struct shm_broadcast *broadcast);

// Closes a handle: releases the publisher's role, aborts a reserved slot, and ends the subscription. Published
// messages stay. A child made by fork(2) closes its own copy.
//
// broadcast: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
// undefined, like the use of memory after free(3).
// Threads: any; not in a signal handler.
void shm_broadcast_close(struct shm_broadcast *broadcast);

// Waits until one of several objects is ready: until it has a message, a count above 0 or a newer value, or its peer
// has released its role or died. Receives nothing from it: then call shm_ring_recv(), shm_semaphore_wait() and so on
// with SHMKEY_NO_WAIT, which fails with EAGAIN if another thread was faster.
//
// A cancellation of one of the handles (shm_cancel()) ends the wait, or the next one. It also does so if an object is
// ready only because its peers have released their roles or died; the next call then returns that object. A call with
// SHMKEY_NO_WAIT is not a wait, and does not use up a cancellation. A signal handler ends the wait if one of the
// handles allows that, as by shm_ring_set_interruptible(), and the handler was installed without SA_RESTART.
//
// An object whose peers have released their roles or died stays ready. Leave it out of later calls, or make its handle
// wait for the next peer, for example with shm_ring_set_keep_waiting().
//
// A thread's search begins with the object after the one that its last call returned, so an object that is always
// ready does not hide the others. A peer that wakes the thread makes one system call. Before Linux 5.16, or where a
// seccomp filter forbids futex_waitv(2), the thread polls the descriptors of the objects, as shm_ring_fd() returns
// them, and this call creates them.
//
// objects: the objects, in any mix; the handle of a ring or a broadcast at most once.
// count: their number, 1 to 128.
// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
//
// Returns: the index of an object that is ready, 0 to count - 1; or -1.
// Errors: ETIMEDOUT no object was ready in that time; EAGAIN none is, and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED
// a signal handler or shm_cancel() has ended the wait; EINVAL count is 0 or more than 128, timeout is less than -1, or
// an element has no handle, two handles, the same handle of a ring or a broadcast as another element, or a reserved
// field that is not NULL; EBUSY another handle is the receiver of a ring, and its process is not known to be dead;
// EPERM a handle of a broadcast is not subscribed; EFAULT objects is NULL; and those of shm_ring_fd() where
// descriptors are needed.
// Threads: one at a time receives with the handle of a ring or a broadcast; not in a signal handler.
SHMKEY_MUST_USE int shm_wait_any(const struct shm_waitable *objects, size_t count, int64_t timeout);

// Returns why the calling thread's last failed call of this library failed: a sentence or two in English and UTF-8,
// with the cause, if it is known, and what to do about it. As with errno, it is meaningful only after a failure: a
// call that succeeds does not change it.
//
// The text of a failed operation on an object is made here, so a failed try costs no more than the try. It shows the
// state of another process (running, sleeping, stopped, dead) at the time of this call. If the handle was closed after
// the failure, the text still names the object, until 64 more handles have been closed. A thread's first failure maps
// a page for the text; if there is no memory for that, the text says so.
//
// Returns: a string of at most 1023 bytes, never NULL; "no error" before the first failure. It belongs to the library,
// and is valid until the thread's next failure or its end. errno is not changed.
// Threads: any, each with a text of its own; also in a signal handler.
const char *shm_last_error(void);

// Stores the calling thread's last failure, so that any thread can make its text later, also after other calls have
// failed.
//
// failure: where to store it; untouched unless the result is 1.
//
// Returns: 1 if it was stored, for shm_failure_text(); 0 if there was no failure, or if its text is made already, like
// that of a failure to create a segment: copy that from shm_last_error(). errno is not changed.
// Threads: any, each with a failure of its own; not in a signal handler.
SHMKEY_MUST_USE int shm_last_failure(struct shm_failure *failure);

// Makes the text of a failure, as shm_last_error() does. errno is not changed.
//
// failure: as shm_last_failure() has stored it. Other integers give an arbitrary text.
// text: where to store at most size - 1 bytes and a NUL. 1024 bytes are enough for any text.
// size: in bytes.
// Threads: any; not in a signal handler.
void shm_failure_text(const struct shm_failure *failure, char *text, size_t size);

// Returns a number of the calling process that no other process has while the machine is up. A child made by fork(2)
// has another one, also where both have the same id in PID namespaces of their own. Before Linux 6.9 the number is
// made of the id, the start time and the namespaces of the process, or is random.
//
// Returns: the number, never 0.
// Threads: any; not in a signal handler.
uint64_t shm_this_process(void);

// Returns the version of the library in use, such as "0.1.0".
//
// Returns: a string that lives as long as the library, never NULL.
// Threads: any, also in a signal handler.
const char *shm_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMKEY_H */
