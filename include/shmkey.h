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
 *   left alone. Bad arguments (NULL, addresses where nothing is attached, ids that do not exist,
 *   flags that nobody defined) are failures and never crash. The library prints nothing.
 * OWNERSHIP: a segment belongs to nobody and outlives its processes; shm_remove() removes it. What
 *   shm_attach() returns belongs to the process, until shm_detach(), exec or its end. Strings that
 *   are returned belong to the library.
 * THREADS: every function may be called from any thread at any time. errno and shm_last_error()
 *   are each thread's own.
 * FORK: a child inherits what is attached, and the kernel counts it. The library keeps no state
 *   that a fork could break.
 * SIGNALS: shm_attach(), shm_attach_at(), shm_detach(), shm_remove(), shm_open_private() and
 *   shm_open_raw() may be called in a signal handler, if the program is linked with the library
 *   (one that is loaded with dlopen may allocate for each thread's first failure). They leave
 *   nothing behind but errno and the text of shm_last_error(), so a handler that can fail should
 *   save and restore errno. The others may allocate memory, and may not.
 * ABORTS: none on purpose, on any input. Access beyond a segment's size, or after it was detached,
 *   is the program's own: it meets the rest of the last page, other memory, or SIGSEGV, as ever.
 * NOT SYNCHRONISED: bytes that one process writes, another sees at once, one by one and in any
 *   order. Programs must agree on when a value is complete.
 *
 * Names are those of shmget(2), shmop(2) and shmctl(2): key, id, segment, attach, nattch, owner,
 * creator. In strict ISO modes (-std=c99) define _XOPEN_SOURCE as 700 before you include
 * <sys/shm.h>, as that header demands.
 *
 * Made by cbindgen from src/capi; changes made here are lost.
 */


#ifndef SHMKEY_H
#define SHMKEY_H

#include <stddef.h>
#include <stdint.h>

// The version of this header. shm_version() tells that of the library in use.
#define SHMKEY_VERSION_MAJOR 0

// The second number: new functions, nothing taken away (before 1.0: anything may change).
#define SHMKEY_VERSION_MINOR 1

// The third number: corrections.
#define SHMKEY_VERSION_PATCH 0

// What the kernel knows of a segment at one moment. The words are those of shmctl(2).
struct shm_status {
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
};

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
// <linux/shm.h>, if wanted), SHM_NORESERVE, and the permission bits, such as 0600. When many
// processes create the same key at once, one segment comes to be and all get it.
//
// Returns: the id, 0 or more, a real System V id; or -1. The segment belongs to nobody: it stays
// until shm_remove().
// Errors: ENOENT no such file, or no such segment and no IPC_CREAT; EINVAL proj_id 0, size 0 or
// beyond shmmax, a segment that is smaller than size, flags that nobody defined; EEXIST with
// IPC_CREAT | IPC_EXCL; EACCES the file or the segment does not allow it; ENOSPC the limit shmmni
// or shmall (not the disk); ENOMEM; EPERM SHM_HUGETLB without the privilege; EFAULT a path that
// points nowhere; ENOSYS no System V shared memory here; and stat(2)'s.
int shm_open_key(const char *path, int proj_id, size_t size, int flags);

// Opens or creates the segment that a name stands for. No file is needed: the name's bytes are
// hashed to a positive key, the same in every program that uses this library, in C or Rust. Two
// names share a key once in 2^31 pairs.
//
// name: 1 to 4095 bytes and a NUL; any bytes.
// size, flags, result: as for shm_open_key(), with which it also shares its errors; EINVAL also
// for an empty name, ENAMETOOLONG for one that is too long, EFAULT for NULL and for a pointer that
// leads nowhere.
int shm_open_name(const char *name, size_t size, int flags);

// Opens or creates the segment with a key that was agreed on otherwise, such as a number in an old
// program's header. Every number is a key, -1 too; 0 is IPC_PRIVATE and makes a new segment.
//
// size, flags, result, errors: as for shm_open_key().
int shm_open_raw(int key, size_t size, int flags);

// Creates a segment without a key. Others reach it by its id, or have it attached when fork(2)
// makes them.
//
// size, flags, result, errors: as for shm_open_key(); IPC_CREAT and IPC_EXCL are understood.
int shm_open_private(size_t size, int flags);

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
void *shm_attach(int id, int flags);

// Attaches a segment at an address of the caller's choosing: a multiple of the page size, or any
// with SHM_RND, which rounds it down. NULL lets the kernel choose. What is mapped there is never
// replaced, unless flags has SHM_REMAP: then it is, whatever it was.
//
// flags, result, errors: as for shm_attach(); EINVAL also if the address is not aligned or in use.
void *shm_attach_at(int id, const void *address, int flags);

// Attaches a segment on huge pages where the system can: one of 2 MiB or more at a multiple of 2
// MiB, with the kernel advised to use huge pages (MADV_HUGEPAGE;
// /sys/kernel/mm/transparent_hugepage/shmem_enabled must be "advise" or "always"). It is advice:
// without huge pages the segment is attached all the same.
//
// flags: SHM_RDONLY and SHM_EXEC. Result, errors: as for shm_attach(); EACCES also without read
// permission.
void *shm_attach_huge(int id, int flags);

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

// Why the calling thread's last failed call of this library failed: a sentence or two for a
// person, in English and UTF-8, with the cause as far as it could be found out and what to do
// about it. Like errno it means something right after a failure; a call that succeeds leaves it
// alone. Before the first failure it is "no error".
//
// Returns: a string, never NULL. It belongs to the library, is the calling thread's own, and
// changes with that thread's next failure; copy it to keep it. At most 1023 bytes.
const char *shm_last_error(void);

// The version of the library in use, such as "0.1.0".
//
// Returns: a string that lives as long as the library, never NULL.
const char *shm_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMKEY_H */
