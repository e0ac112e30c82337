//! Where an object lies, as a C program describes it.

use super::{
    object::{timeout_of, with_flags},
    open::{NAME_MAX, file_at, read_name},
};
use crate::{
    Error, Place, Segment,
    capi::SHMKEY_ANY_OWNER,
    kind::Kind,
    object::{attach_segment, place::Memory},
};
use core::{
    ffi::{c_char, c_int},
    mem::size_of,
};

/// Where an object lies, for the functions shm_..._open_at(). Initialise it with SHMKEY_PLACE_INIT, then
/// set the name, or path and proj_id, or id and offset. SHMKEY_PLACE_NAME(), SHMKEY_PLACE_FILE() and
/// SHMKEY_PLACE_SEGMENT() do both. The strings belong to the caller, and are not used after the call.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct shm_place {
    /// A name, 1 to 256 bytes and a NUL; or NULL.
    pub name: *const c_char,
    /// A file that exists; or NULL. The object records the file and the project id.
    pub path: *const c_char,
    /// With id: where the object begins in that segment, in bytes, a multiple of 64; else 0. The bytes
    /// there must be 0 before the object is created.
    pub offset: usize,
    /// How long to wait while another process is creating the object, in nanoseconds, or SHMKEY_FOREVER. For an object
    /// that no process has begun to create, and that flags do not ask to create, the call fails at once with ENOENT.
    pub timeout: i64,
    /// The user id that must own the segment, or SHMKEY_ANY_OWNER. It is compared before anything in the
    /// segment is used; the segment's creator must be the same user, or root.
    pub owner: u32,
    /// With path: a character, or 1 to 255; else 0.
    pub proj_id: c_int,
    /// The id of a segment that exists; or -1.
    pub id: c_int,
    /// 0; reserved.
    pub reserved: [u32; 5],
}

// No padding: later versions find every byte initialised.
const _: () = assert!(size_of::<shm_place>() == 4 * 8 + 3 * 4 + 5 * 4);

/// Makes the place that a name stands for.
///
/// # Safety
/// Every pointer is sound: the kernel reads the name. The result is right only if the name is a string.
pub(super) unsafe fn named(kind: Kind, name: *const c_char, flags: c_int) -> Result<Place, Error> {
    let mut buffer = [0; NAME_MAX + 1];
    // SAFETY: read_name accepts every pointer.
    match unsafe { read_name(name, &mut buffer) } {
        Ok(name) => {
            with_flags(Place::named(name), flags).map_err(|error| error.opening(kind, name))
        }
        Err(error) if error.errno() == libc::ENAMETOOLONG => {
            Err(Error::object_name_too_long().opening(kind, b""))
        }
        Err(error) => Err(error.opening(kind, b"")),
    }
}

/// Makes the place that a structure describes.
///
/// # Safety
/// `place` must be NULL or point to a structure.
pub(super) unsafe fn described(
    kind: Kind,
    place: *const shm_place,
    flags: c_int,
) -> Result<Place, Error> {
    if place.is_null() {
        return Err(Error::bad_pointer("open", "the place is NULL").opening(kind, b""));
    }
    // SAFETY: the caller's promise. Read once: another thread may write it.
    let given = unsafe { place.read_unaligned() };
    // SAFETY: as above.
    let place = unsafe { found(kind, &given, flags) }.map_err(|error| error.opening(kind, b""))?;
    let place = match given.owner {
        SHMKEY_ANY_OWNER => place,
        uid => place.owner(uid),
    };
    let Some(timeout) = timeout_of(given.timeout) else {
        return Err(Error::timeout("open", given.timeout).opening(kind, place.site.name()));
    };
    Ok(Place { timeout, ..place })
}

/// Returns the place that a structure describes, without its owner and its timeout.
///
/// # Safety
/// Every pointer is sound: the kernel reads the strings. The result is right only if they are strings.
unsafe fn found(kind: Kind, given: &shm_place, flags: c_int) -> Result<Place, Error> {
    expect_one_way(given)?;
    if !given.name.is_null() {
        // SAFETY: named accepts every pointer.
        unsafe { named(kind, given.name, flags) }
    } else if !given.path.is_null() {
        // SAFETY: file_at accepts every pointer.
        let file = unsafe { file_at(given.path, given.proj_id) }?;
        with_flags(Place::file(file, given.proj_id), flags)
    } else {
        let read_only = flags & libc::SHM_RDONLY != 0;
        let memory = attach_segment(&Segment::from_id(given.id), read_only)
            .map_err(|error| error.perhaps_of_zeroes(given.id))?;
        with_flags(Place::at(Memory::own(memory)?, given.offset), flags)
    }
}

/// Fails unless a structure describes the place in exactly one way.
fn expect_one_way(given: &shm_place) -> Result<(), Error> {
    let (by_name, by_path, by_id) = (!given.name.is_null(), !given.path.is_null(), given.id != -1);
    let why = match u32::from(by_name) + u32::from(by_path) + u32::from(by_id) {
        0 => {
            "the place names no segment: set its name, or path and proj_id, or id and offset (a string of these \
              is NULL, or the id is -1)"
        }
        2.. => {
            "the place names a segment in two ways: set its name, or path and proj_id, or id and offset (a place \
             that does not begin as SHMKEY_PLACE_INIT has the id 0)"
        }
        _ if given.offset != 0 && !by_id => {
            "the place has an offset and no id: an offset is one in the segment id"
        }
        _ if given.proj_id != 0 && !by_path => {
            "the place has a proj_id and no path: a key is made from both"
        }
        _ if given.reserved != [0; 5] => {
            "the reserved members of the place are not 0: begin with SHMKEY_PLACE_INIT"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("open", why))
}
