/*
 * Where an object lies, who must own its segment, and which modes a segment may have. Only <shmkey.h> declares the constants here. Prints what
 * is wrong, and nothing if all is right. It runs in a directory whose keys are its own, with a file "shmfile" in it; its argument is a name of
 * its own.
 */
#define _GNU_SOURCE
#include "check.h"

#define REFUSED(place, words) FAILS_NULL_SAYING(shm_semaphore_open_at(place, 0, MAKE), EINVAL, words)

static const char *name;

static void times(void)
{
    int64_t half = SHMKEY_SECONDS(0.5);

    CHECK(SHMKEY_SECONDS(2) == INT64_C(2000000000) && SHMKEY_MILLISECONDS(3) == INT64_C(3000000));
    CHECK(SHMKEY_MICROSECONDS(4) == INT64_C(4000) && half == INT64_C(500000000));
    CHECK(SHMKEY_SECONDS(1 + 1) == SHMKEY_SECONDS(2) && SHMKEY_FOREVER == -1 && SHMKEY_NO_WAIT == 0);
}

/* A place is named in exactly one way, and has no field of another way. */
static void one_way(void)
{
    static struct shm_place nowhere = SHMKEY_PLACE_INIT; /* also where only constants may be */
    struct shm_place place = SHMKEY_PLACE_INIT;
    struct shm_place zeroes;

    memset(&zeroes, 0, sizeof zeroes);
    REFUSED(&nowhere, "names no segment");
    zeroes.name = name;
    REFUSED(&zeroes, "in two ways");
    SAYS("SHMKEY_PLACE_INIT");
    place.name = name;
    place.path = "shmfile";
    place.proj_id = 115;
    REFUSED(&place, "in two ways");
    place.name = NULL;
    place.id = 0;
    REFUSED(&place, "in two ways");
    place = (struct shm_place) SHMKEY_PLACE_NAME(name);
    place.offset = 64;
    REFUSED(&place, "offset");
    place.offset = 0;
    place.proj_id = 1;
    REFUSED(&place, "proj_id");
    place.proj_id = 0;
    place.reserved[4] = 1;
    REFUSED(&place, "reserved");
    place.reserved[4] = 0;
    place.timeout = -2;
    REFUSED(&place, "a timeout is SHMKEY_FOREVER");
    CHECK(shm_open_name(name, 0, 0) == -1); /* what is refused leaves nothing behind */
}

/* One object, found in three ways. */
static void three_ways(void)
{
    struct shm_semaphore *one, *other;
    int id;

    OPENS(one, shm_semaphore_open_at(&(struct shm_place) SHMKEY_PLACE_NAME(name), 3, MAKE));
    id = shm_semaphore_id(one);
    OPENS(other, shm_semaphore_open(name, 0, 0));
    GIVES(shm_semaphore_id(other), id);
    shm_semaphore_close(other);
    OPENS(other, shm_semaphore_open_at(AT(id, 0), 0, 0));
    GIVES(shm_semaphore_value(other), 3);
    shm_semaphore_close(other);
    shm_semaphore_close(one);
    WORKS(shm_remove(id));
    OPENS(one, shm_semaphore_open_at(BY_FILE("shmfile", 115), 4, MAKE));
    GIVES(shm_open_key("shmfile", 115, 0, 0), shm_semaphore_id(one));
    WORKS(shm_remove(shm_semaphore_id(one)));
    shm_semaphore_close(one);
}

/* An object that no process has begun to create is missing, whatever the timeout of the place is. */
static void missing(void)
{
    int id = shm_open_private(4096, 0600);
    struct shm_place place = SHMKEY_PLACE_SEGMENT(id, 0);

    place.timeout = SHMKEY_NO_WAIT;
    FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), ENOENT);
    place.timeout = SHMKEY_FOREVER;
    FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), ENOENT);
    WORKS(shm_remove(id));
}

/* Nothing in a segment is used unless the right user owns it and has created it. */
static void owners(void)
{
    uint32_t me = geteuid(), other = me + 4321;
    struct shm_place place = SHMKEY_PLACE_NAME(name);
    struct shm_semaphore *semaphore;
    int id;

    place.owner = other;
    FAILS_NULL_SAYING(shm_semaphore_open_at(&place, 0, MAKE), EINVAL, "without SHMKEY_CREATE"); /* what this process creates is its own */
    FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), ENOENT);
    place.owner = me;
    OPENS(semaphore, shm_semaphore_open_at(&place, 1, MAKE));
    id = shm_semaphore_id(semaphore);
    shm_semaphore_close(semaphore);
    OPENS(semaphore, shm_semaphore_open_at(&place, 1, 0));
    shm_semaphore_close(semaphore);
    place.owner = other;
    FAILS_NULL_SAYING(shm_semaphore_open_at(&place, 0, 0), EPERM, "expected");
    FAILS_NULL(shm_mutex_open_at(&place, 100000, NULL, 0), EPERM); /* also where it is too small */
    place = (struct shm_place) SHMKEY_PLACE_SEGMENT(id, 0);
    place.owner = other;
    FAILS_NULL(shm_latest_open_at(&place, 1, NULL, SHMKEY_READ_ONLY), EPERM);

    /* Given away: the creator can still write it, so the new owner's name is worth what the creator's is. */
    WORKS(shm_set_mode(id, 0666));
    WORKS(shm_set_owner(id, other, SHMKEY_ANY_OWNER));
    if (me == 0) {
        OPENS(semaphore, shm_semaphore_open_at(&place, 0, 0));
        shm_semaphore_close(semaphore);
    } else {
        FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), EPERM);
    }
    place.owner = me;
    FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), EPERM);
    WORKS(shm_remove(id));

    /* Bytes that are no object: they are not even looked at. */
    id = shm_open_private(8192, 0600);
    {
        char *memory = shm_attach(id, 0);
        memset(memory, 'x', 8192);
        WORKS(shm_detach(memory));
    }
    place = (struct shm_place) SHMKEY_PLACE_SEGMENT(id, 0);
    FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), EMEDIUMTYPE);
    place.owner = other;
    FAILS_NULL(shm_semaphore_open_at(&place, 0, 0), EPERM);
    WORKS(shm_remove(id));
}

/* A new segment that its owner may not use is refused, by every way to create one. */
static void modes(void)
{
    const int useless[] = {0, 0100, 0066, 0177};

    for (int i = 0; i < 4; i++) {
        FAILS_SAYING(shm_open_name(name, 100, SHMKEY_CREATE | useless[i]), EINVAL, "SHMKEY_CREATE | 0600");
        FAILS(shm_open_key("shmfile", 115, 100, SHMKEY_CREATE | useless[i]), EINVAL);
        FAILS(shm_open_key(NULL, 0, 100, useless[i]), EINVAL);
        FAILS(shm_open_key_number(0, 100, useless[i]), EINVAL);
        FAILS_SAYING(shm_open_private(100, useless[i]), EINVAL, "0600");
    }
    FAILS_SAYING(shm_open_name(name, 100, SHMKEY_CREATE | 600), EINVAL, "the decimal number 600");
    FAILS(shm_open_name(name, 0, 0), ENOENT); /* nothing was created */
    for (int i = 0; i < 2; i++) {
        int id = shm_open_private(100, i == 0 ? 0400 : 0200);
        CHECK(id != -1);
        WORKS(shm_remove(id));
    }
}

/* Mode and owner of a segment that is there. */
static void changes(void)
{
    struct shm_status before, after;
    int id = shm_open_private(100, 0600);

    CHECK(shm_get_status(id, &before) == 0);
    WORKS(shm_set_mode(id, 0640));
    CHECK(shm_get_status(id, &after) == 0 && after.mode == 0640 && after.uid == before.uid && after.gid == before.gid);
    WORKS(shm_set_mode(id, 0)); /* and back, though it cannot be read */
    WORKS(shm_set_mode(id, 0600));
    WORKS(shm_set_owner(id, SHMKEY_ANY_OWNER, before.gid));
    WORKS(shm_set_owner(id, (uint32_t) -1, (uint32_t) -1));
    CHECK(shm_get_status(id, &after) == 0 && after.mode == 0600 && after.uid == before.uid && after.gid == before.gid);
    FAILS(shm_set_mode(id, 01000), EINVAL);
    FAILS_SAYING(shm_set_mode(id, 666), EINVAL, "octal");
    WORKS(shm_remove(id));
    FAILS(shm_set_mode(-1, 0600), EINVAL);
    FAILS(shm_set_owner(-1, 0, 0), EINVAL);
    CHECK(shm_set_mode(id, 0600) == -1 && (errno == EINVAL || errno == EIDRM));
    if (geteuid() == 0) {
        int given = shm_open_private(100, 0600);
        WORKS(shm_set_owner(given, 1234, 4321));
        CHECK(shm_get_status(given, &after) == 0 && after.uid == 1234 && after.gid == 4321 && after.mode == 0600);
        WORKS(shm_set_owner(given, SHMKEY_ANY_OWNER, 4322));
        CHECK(shm_get_status(given, &after) == 0 && after.uid == 1234 && after.gid == 4322);
        WORKS(shm_remove(given));
    }
}

/* Rights of another user, which only root can take on. */
static void as_another_user(void)
{
    int id;

    if (geteuid() != 0) {
        return;
    }
    id = shm_open_private(100, 0600);
    CHECK(seteuid(1234) == 0);
    FAILS(shm_set_mode(id, 0666), EPERM);
    FAILS(shm_set_owner(id, 1234, SHMKEY_ANY_OWNER), EPERM);
    FAILS_NULL_SAYING(shm_attach(id, 0), EACCES, "shm_set_mode()"); /* what can change it */
    CHECK(seteuid(0) == 0);
    WORKS(shm_remove(id));
}

int main(int count, char **arguments)
{
    if (count < 2) {
        return 2;
    }
    name = arguments[1];
    times();
    one_way();
    three_ways();
    missing();
    owners();
    modes();
    changes();
    as_another_user();
    return wrong;
}
