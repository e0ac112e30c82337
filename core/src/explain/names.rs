//! The names of calls and flags in texts. They depend on the program that the text is for: on its language, or on the
//! options of the command.

/// The names that a program uses for the things that texts mention.
#[derive(Debug)]
pub struct Names {
    /// Allows a call to create something that does not exist.
    pub create: &'static str,
    /// Makes a call fail if the thing exists already.
    pub exclusive: &'static str,
    /// How to open something, whether it exists or not.
    pub not_exclusive: &'static str,
    /// Opens something for reading only.
    pub read_only: &'static str,
    /// Creates a lossy broadcast.
    pub lossy: &'static str,
    /// How to give the usual mode.
    pub usual_mode: &'static str,
    /// The largest mode, as a number of the language.
    pub largest_mode: &'static str,
    /// Calls that change the mode of a segment.
    pub set_mode: &'static str,
    /// The command that removes a segment; an id follows.
    pub remove: &'static str,
    /// The call that has returned −1 in place of an id.
    pub opener: &'static str,
    /// Where an id comes from; follows "the id" or "the number".
    pub of_id: &'static str,
    /// Where to pass an id, for a program that has passed one as a key.
    pub takes_id: &'static str,
    /// Why the address of an attachment is NULL.
    pub null: &'static str,
    /// Where the address of an attachment comes from; follows "the address".
    pub of_address: &'static str,
    /// How a program passes a user or a group that exists.
    pub known_owner: &'static str,
    /// Where the id 0 may come from if no segment has it; follows "there is no segment with the id 0".
    pub id_0: &'static str,
}

/// The calls of the manual pages: for programs that use the drop-in.
pub static SYSTEM_V: Names = Names {
    create: "IPC_CREAT",
    exclusive: "IPC_EXCL",
    not_exclusive: "open it without IPC_EXCL",
    read_only: "SHM_RDONLY",
    lossy: "the option lossy",
    usual_mode: "IPC_CREAT | 0600",
    largest_mode: "0777",
    set_mode: "shmkey chmod, or shmctl with IPC_SET",
    remove: "ipcrm -m",
    opener: "shmget",
    of_id: "that shmget returned",
    takes_id: "pass an id to shmat or shmctl, not to shmget",
    null: "the address is NULL; shmat returns (void *) -1 on failure, and NULL never",
    of_address: "that shmat returned",
    known_owner: "fill the buffer by IPC_STAT before changing it",
    id_0: "",
};

/// The functions of `shmkey.h`, on which `shmkey.hpp` is built.
pub static C: Names = Names {
    create: "SHMKEY_CREATE",
    exclusive: "SHMKEY_EXCLUSIVE",
    not_exclusive: "open it without SHMKEY_EXCLUSIVE",
    read_only: "SHMKEY_READ_ONLY",
    lossy: "SHMKEY_LOSSY",
    usual_mode: "SHMKEY_CREATE | 0600",
    largest_mode: "0777",
    set_mode: "shmkey chmod, shm_set_mode()",
    remove: SYSTEM_V.remove,
    opener: "open function",
    of_id: "that an open function returned",
    takes_id: "pass an id to shm_attach() or shm_get_status(), not to shm_open_key_number()",
    null: "the address is NULL, which shm_attach() returns on failure; check its result before using it",
    of_address: "that shm_attach() returned",
    known_owner: KNOWN_OWNER,
    id_0: ", which is that of a place of zeroes: begin with SHMKEY_PLACE_INIT, SHMKEY_PLACE_NAME() or \
           SHMKEY_PLACE_FILE()",
};

/// The crate `shmkey`.
pub static RUST: Names = Names {
    create: "create(true)",
    exclusive: "exclusive(true)",
    not_exclusive: "open it without exclusive(true)",
    read_only: "read_only(true)",
    lossy: "lossy(true)",
    usual_mode: "mode(0o600)",
    largest_mode: "0o777",
    set_mode: "shmkey chmod, Segment::set_mode",
    remove: SYSTEM_V.remove,
    opener: SYSTEM_V.opener,
    of_id: "that Segment::id returned",
    takes_id: "pass an id to Segment::from_id, not to Key::from_raw",
    null: SYSTEM_V.null,
    of_address: SYSTEM_V.of_address,
    known_owner: KNOWN_OWNER,
    id_0: "",
};

/// The Python package.
pub static PYTHON: Names = Names {
    create: "create=True",
    exclusive: "exclusive=True",
    not_exclusive: "open it without exclusive=True",
    read_only: "read_only=True",
    lossy: "lossy=True",
    usual_mode: "mode=0o600",
    largest_mode: "0o777",
    set_mode: "shmkey chmod, Segment.set_mode",
    remove: SYSTEM_V.remove,
    opener: SYSTEM_V.opener,
    of_id: "of a Segment",
    takes_id: "pass an id to Segment(), not to Segment.open()",
    null: SYSTEM_V.null,
    of_address: SYSTEM_V.of_address,
    known_owner: KNOWN_OWNER,
    id_0: "",
};

/// The command `shmkey`.
pub static COMMAND: Names = Names {
    create: "shmkey create",
    exclusive: "without --existing",
    not_exclusive: "open it with --existing",
    read_only: "reading only",
    lossy: "--lossy",
    usual_mode: "--mode 0600",
    largest_mode: "0777",
    set_mode: "shmkey chmod",
    remove: "shmkey remove",
    opener: SYSTEM_V.opener,
    of_id: "that shmkey list shows",
    takes_id: "write an id as id:NUMBER, not as key:NUMBER",
    null: SYSTEM_V.null,
    of_address: SYSTEM_V.of_address,
    known_owner: KNOWN_OWNER,
    id_0: "",
};

const KNOWN_OWNER: &str = "/proc/self/uid_map and gid_map show which numbers do";
