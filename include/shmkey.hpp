/// @file shmkey.hpp
/// System V shared memory, and objects that processes share in it, from C++17: <shmkey.h> with handles
/// that close themselves, typed values, std::chrono and errors as values.
///
///     #include <shmkey.hpp>
///     #include <cstdio>
///     using namespace std::chrono_literals;
///
///     struct position { double north, east; };
///
///     auto where = shmkey::latest<position>::open("position");   // every process opens it like this
///     if (!where) { std::fprintf(stderr, "%s\n", where.error().sentence()); return 1; }
///     if (!where->publish({52.5, 13.4})) return 1;               // one process publishes
///
///     std::int64_t seen = 0;                                     // and any number wait and read
///     auto newer = where->wait_newer(seen, 100ms);
///     if (!newer) { std::fprintf(stderr, "%s\n", newer.error().sentence()); return 1; }
///     std::printf("%.1f %.1f\n", newer->north, newer->east);
///     if (!where->remove()) return 1;                           // the segment stays until remove()
///
/// Link with -lshmkey. Everything here is inline and needs neither exceptions nor run-time type
/// information. shmkey(3) and <shmkey.h> say what waits for what, what survives a death, and each errno.
///
/// - Failures are values: a result<T> has a T or an error. Only result::value() throws, if there is no
///   value, and ring::recv() into a std::string, if there is no memory.
/// - Handles (mutex, semaphore, latest, ring) can be moved and not copied. Their destructors close
///   them; remove() removes the segment. A guard, slot or message must not outlive its handle, which can
///   be moved in between. A moved-from handle can be assigned or destroyed; other calls fail (EFAULT).
/// - Any thread may use a mutex or a semaphore at any time. One thread at a time publishes a latest value,
///   sends to a ring and receives from it. A guard, and a slot of a ring with many senders, ends in the
///   thread where it began.
/// - A child made by fork() may use its parent's handles. The guards, slots and messages of the parent
///   are not the child's; their destructors do nothing there.
#ifndef SHMKEY_HPP
#define SHMKEY_HPP

#if __cplusplus < 201703L
#error "shmkey.hpp needs C++17 or later: compile with -std=c++17"
#else

#include <shmkey.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#if __cplusplus >= 202002L
#include <span>
#endif

namespace shmkey {

/// Why a call failed. The error of an operation on an object, such as a failed try, is a few numbers and
/// allocates nothing until its sentence is asked for.
class [[nodiscard]] error {
public:
    /// No error.
    error() noexcept = default;
    /// An error with a sentence of the caller's.
    error(int number, const char *sentence) noexcept : number_(number), text_(copy(sentence)) {}
    /// The calling thread's last failed call of the library.
    static error last() noexcept
    {
        error why;
        why.number_ = errno;
        why.is_kept_ = shm_last_failure(&why.failure_) == 1;
        why.text_ = why.is_kept_ ? nullptr : copy(shm_last_error());
        return why;
    }
    error(const error &other) noexcept
        : number_(other.number_), is_kept_(other.is_kept_), failure_(other.failure_),
          text_(is_kept_ ? nullptr : copy(other.text_))
    {
    }
    error(error &&other) noexcept
        : number_(other.number_), is_kept_(other.is_kept_), failure_(other.failure_),
          text_(std::exchange(other.text_, nullptr))
    {
    }
    error &operator=(error other) noexcept
    {
        number_ = other.number_;
        is_kept_ = other.is_kept_;
        failure_ = other.failure_;
        std::swap(text_, other.text_);
        return *this;
    }
    ~error() { delete[] text_; }

    /// Returns the errno, such as ENOENT; 0 for no error.
    [[nodiscard]] int number() const noexcept { return number_; }
    /// Returns the errno, to be compared with std::errc.
    [[nodiscard]] std::error_code code() const noexcept { return {number_, std::generic_category()}; }
    /// Returns whether only the time was too short: ETIMEDOUT or EAGAIN.
    [[nodiscard]] bool is_timeout() const noexcept { return number_ == ETIMEDOUT || number_ == EAGAIN; }
    /// Returns a sentence or two: the cause, if it is known, and what to do about it. The string
    /// belongs to this error; any thread may ask.
    [[nodiscard]] const char *sentence() const noexcept
    {
        // Acquire: pairs with the exchange below, by which another thread publishes the text it has made. (Not
        // std::atomic: from C++20 on, <atomic> declares all of <unistd.h>.)
        const char *const text = __atomic_load_n(&text_, __ATOMIC_ACQUIRE);
        if (text != nullptr || !is_kept_) {
            return text != nullptr ? text : number_ == 0 ? "no error" : "no memory for a sentence";
        }
        char made[1024];
        shm_failure_text(&failure_, made, sizeof(made));
        char *const kept = copy(made);
        char *first = nullptr;
        if (kept != nullptr &&
            __atomic_compare_exchange_n(&text_, &first, kept, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return kept;
        }
        delete[] kept;
        return first != nullptr ? first : "no memory for a sentence";
    }

private:
    static char *copy(const char *sentence) noexcept
    {
        const std::size_t size = sentence == nullptr ? 0 : std::strlen(sentence) + 1;
        char *const text = size == 0 ? nullptr : new (std::nothrow) char[size];
        if (text != nullptr) {
            std::memcpy(text, sentence, size);
        }
        return text;
    }

    int number_ = 0;
    bool is_kept_ = false; // the sentence is made of failure_
    shm_failure failure_{};
    mutable char *text_ = nullptr; // once it is made; set once
};

namespace detail {

/// Ends a call of value() that has no value.
[[noreturn]] inline void no_value(const error &why)
{
#if defined(__cpp_exceptions)
    throw std::system_error(why.code(), why.sentence());
#else
    (void) why;
    std::terminate();
#endif
}

} // namespace detail

/// A T, or the error that says why there is none.
template <class T> class [[nodiscard]] result {
public:
    result(T value) noexcept : value_(std::move(value)) {}
    result(shmkey::error why) noexcept : why_(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return value_.has_value(); }
    [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }

    /// Access the T. Undefined without one, as for std::optional.
    [[nodiscard]] T &operator*() & noexcept { return *value_; }
    [[nodiscard]] const T &operator*() const & noexcept { return *value_; }
    [[nodiscard]] T &&operator*() && noexcept { return *std::move(value_); }
    [[nodiscard]] T *operator->() noexcept { return value_.operator->(); }
    [[nodiscard]] const T *operator->() const noexcept { return value_.operator->(); }

    /// Returns the T. Without one it throws a std::system_error with the errno and the sentence, and where
    /// exceptions are disabled it calls std::terminate().
    [[nodiscard]] T &value() & { return expect(), *value_; }
    [[nodiscard]] const T &value() const & { return expect(), *value_; }
    [[nodiscard]] T &&value() && { return expect(), *std::move(value_); }
    /// Returns the T, or this one without it.
    template <class Other> [[nodiscard]] T value_or(Other &&other) const &
    {
        return value_.value_or(std::forward<Other>(other));
    }
    template <class Other> [[nodiscard]] T value_or(Other &&other) &&
    {
        return std::move(value_).value_or(std::forward<Other>(other));
    }

    /// Returns why there is no T; "no error" if there is one.
    [[nodiscard]] const shmkey::error &error() const & noexcept { return why_; }
    [[nodiscard]] shmkey::error error() && noexcept { return std::move(why_); }

private:
    void expect() const
    {
        if (!value_.has_value()) {
            detail::no_value(why_);
        }
    }

    std::optional<T> value_{};
    shmkey::error why_{};
};

/// Success, or the error that says why not.
template <> class [[nodiscard]] result<void> {
public:
    result() noexcept = default;
    result(shmkey::error why) noexcept : why_(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
    [[nodiscard]] bool has_value() const noexcept { return why_.number() == 0; }
    /// Does nothing after a success. After a failure, as result<T>::value().
    void value() const
    {
        if (!has_value()) {
            detail::no_value(why_);
        }
    }
    [[nodiscard]] const shmkey::error &error() const & noexcept { return why_; }
    [[nodiscard]] shmkey::error error() && noexcept { return std::move(why_); }

private:
    shmkey::error why_{};
};

/// How long to wait: any std::chrono::duration, `now` or `forever`. Parts of a nanosecond count as one;
/// what is not positive is one try; what is longer than 292 years does not end.
class timeout {
public:
    template <class Rep, class Period> constexpr timeout(const std::chrono::duration<Rep, Period> &time) noexcept
        : nanoseconds_(from(std::chrono::duration<long double, std::nano>(time).count()))
    {
    }
    [[nodiscard]] static constexpr timeout never() noexcept { return timeout(SHMKEY_FOREVER); }
    /// Returns it as <shmkey.h> has it: nanoseconds, SHMKEY_NO_WAIT or SHMKEY_FOREVER.
    [[nodiscard]] constexpr std::int64_t nanoseconds() const noexcept { return nanoseconds_; }

private:
    constexpr explicit timeout(std::int64_t nanoseconds) noexcept : nanoseconds_(nanoseconds) {}
    static constexpr std::int64_t from(long double nanoseconds) noexcept
    {
        if (!(nanoseconds > 0)) { // also what is not a number
            return SHMKEY_NO_WAIT;
        }
        if (nanoseconds >= static_cast<long double>(std::numeric_limits<std::int64_t>::max())) {
            return SHMKEY_FOREVER;
        }
        const auto whole = static_cast<std::int64_t>(nanoseconds);
        return static_cast<long double>(whole) < nanoseconds ? whole + 1 : whole;
    }

    std::int64_t nanoseconds_;
};
inline constexpr timeout forever = timeout::never();
inline constexpr timeout now = std::chrono::nanoseconds(0);

/// Creates what does not exist, with these permission bits: `create{0660}`. Octal: the 0 matters.
struct create {
    constexpr explicit create(unsigned int mode = 0600) noexcept : permissions(mode) {}
    unsigned int permissions;
};
/// Opens what exists, and fails with ENOENT otherwise: `existing`.
struct existing_t {
    explicit existing_t() = default;
};
inline constexpr existing_t existing{};
/// Opens or attaches what exists, so that this process cannot write it: `read_only`.
struct read_only_t {
    explicit read_only_t() = default;
};
inline constexpr read_only_t read_only{};

/// What to do if something does not exist: create{0600} or existing.
class creation {
public:
    constexpr creation(create how) noexcept : flags_(SHMKEY_CREATE | static_cast<int>(how.permissions)) {}
    constexpr creation(existing_t) noexcept : flags_(0) {}
    [[nodiscard]] constexpr int flags() const noexcept { return flags_; }

private:
    int flags_;
};
/// The same for a latest value, which can be opened read_only, too.
class latest_access {
public:
    constexpr latest_access(create how) noexcept : flags_(creation(how).flags()) {}
    constexpr latest_access(existing_t) noexcept : flags_(0) {}
    constexpr latest_access(read_only_t) noexcept : flags_(SHMKEY_READ_ONLY) {}
    [[nodiscard]] constexpr int flags() const noexcept { return flags_; }

private:
    int flags_;
};

/// Options of a ring, to be combined by |. All processes that open a ring give the same.
enum class ring_options : int {
    none = 0,
    many_senders = SHMKEY_MANY_SENDERS, ///< Up to 64 handles send at a time.
    drop_oldest = SHMKEY_DROP_OLDEST,   ///< A sender without room drops the oldest messages.
};
[[nodiscard]] constexpr ring_options operator|(ring_options one, ring_options other) noexcept
{
    return static_cast<ring_options>(static_cast<int>(one) | static_cast<int>(other));
}
inline constexpr ring_options many_senders = ring_options::many_senders;
inline constexpr ring_options drop_oldest = ring_options::drop_oldest;

/// Returns the version of the library in use, such as "0.1.0".
[[nodiscard]] inline std::string_view version() noexcept { return shm_version(); }

/// Where an object lies: a name, a path and a project id, or an offset in a segment. It refers to the
/// caller's strings: pass it on at once.
class place {
public:
    /// A name of 1 to 256 bytes. Every string is a place.
    place(std::string_view name) noexcept : text_(name) {}
    place(const char *name) noexcept : text_(name == nullptr ? std::string_view() : name) {}
    place(const std::string &name) noexcept : text_(name) {}
    /// A file that exists, and a project id from 1 to 255: see shm_open_key().
    [[nodiscard]] static place path(std::string_view path, int project) noexcept
    {
        place at(path);
        at.kind_ = kind::file;
        at.number_ = project;
        return at;
    }
    /// An offset, a multiple of 64, in the segment with this id. The bytes there are 0 at first.
    [[nodiscard]] static place in(int segment, std::size_t offset) noexcept
    {
        place at{std::string_view()};
        at.kind_ = kind::segment;
        at.number_ = segment;
        at.offset_ = offset;
        return at;
    }
    /// Returns the same place, with the time to wait until another process has created the object; it is 5
    /// seconds otherwise.
    [[nodiscard]] place created_within(timeout time) const noexcept
    {
        place at(*this);
        at.time_ = time;
        return at;
    }
    /// Returns the same place, whose segment must belong to this user: see the member owner of shm_place.
    [[nodiscard]] place owned_by(std::uint32_t uid) const noexcept
    {
        place at(*this);
        at.owner_ = uid;
        return at;
    }
    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    /// Returns the place for C, with this copy of text(), which ends with a NUL.
    [[nodiscard]] shm_place with(const char *text) const noexcept
    {
        shm_place at = SHMKEY_PLACE_INIT;
        at.timeout = time_.nanoseconds();
        at.owner = owner_;
        if (kind_ == kind::name) {
            at.name = text;
        } else if (kind_ == kind::file) {
            at.path = text;
            at.proj_id = number_;
        } else {
            at.id = number_;
            at.offset = offset_;
        }
        return at;
    }

private:
    enum class kind { name, file, segment };

    kind kind_ = kind::name;
    std::string_view text_;
    int number_ = 0;
    std::size_t offset_ = 0;
    timeout time_ = std::chrono::seconds(5);
    std::uint32_t owner_ = SHMKEY_ANY_OWNER;
};

namespace detail {

/// A string with its NUL, for C: in place, or on the heap if it is longer than the name of an object.
class c_string {
public:
    explicit c_string(std::string_view text) noexcept
    {
        // What is longer than every name and path keeps a length that the library refuses.
        const std::size_t size = text.size() < 4096 ? text.size() : 4096;
        if (text.find('\0') != std::string_view::npos) {
            number_ = EINVAL;
        } else if (size >= sizeof(short_)) {
            long_ = new (std::nothrow) char[size + 1];
            number_ = long_ == nullptr ? ENOMEM : 0;
        }
        char *const to = long_ != nullptr ? long_ : short_;
        if (number_ == 0 && size != 0) {
            std::memcpy(to, text.data(), size);
            to[size] = '\0';
        }
    }
    c_string(const c_string &) = delete;
    c_string &operator=(const c_string &) = delete;
    ~c_string() { delete[] long_; }
    [[nodiscard]] bool is_valid() const noexcept { return number_ == 0; }
    [[nodiscard]] error why() const noexcept
    {
        return {number_, number_ == EINVAL ? "EINVAL: a name, a path or a layout has a NUL in it"
                                           : "ENOMEM: there is no memory for a name or a path"};
    }
    [[nodiscard]] const char *get() const noexcept { return long_ != nullptr ? long_ : short_; }

private:
    int number_ = 0;
    char *long_ = nullptr;
    char short_[264] = {};
};

/// Leaves errno as it was: a destructor changes nothing that the caller looks at.
class errno_kept {
public:
    errno_kept() noexcept = default;
    errno_kept(const errno_kept &) = delete;
    errno_kept &operator=(const errno_kept &) = delete;
    ~errno_kept() { errno = before_; }

private:
    int before_ = errno;
};

/// The success or failure of a call of C's, which returns -1 for a failure.
template <class Answer> result<void> done(Answer answer) noexcept
{
    return answer == -1 ? result<void>(error::last()) : result<void>();
}
/// The same with a number.
template <class T, class Answer> result<T> number(Answer answer) noexcept
{
    return answer == -1 ? result<T>(error::last()) : result<T>(static_cast<T>(answer));
}
/// The same with a handle.
template <class T, class C> result<T> handle(C *opened) noexcept
{
    return opened == nullptr ? result<T>(error::last()) : result<T>(T(opened));
}

/// Returns a number of the calling thread that no other thread of this process has, or has had.
inline std::uint64_t this_thread() noexcept
{
    static std::uint64_t count = 0;
    thread_local const std::uint64_t number = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    return number;
}

/// What all objects have in common.
template <class C, void (*Close)(C *), int (*Id)(const C *), int (*Removed)(const C *)> class object {
public:
    /// Returns the id of the segment in which the object lies.
    [[nodiscard]] result<int> id() const noexcept { return number<int>(Id(get())); }
    /// Returns whether that segment has been removed: a process that opens the object anew gets another.
    [[nodiscard]] result<bool> removed() const noexcept { return number<bool>(Removed(get())); }
    /// Removes that segment. Processes that have the object open keep it.
    result<void> remove() noexcept { return done(shm_remove(Id(get()))); }

protected:
    explicit object(C *opened) noexcept : handle_(opened) {}
    object(const object &) = delete;
    object &operator=(const object &) = delete;
    object(object &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    object &operator=(object &&other) noexcept
    {
        object taken(std::move(other));
        std::swap(handle_, taken.handle_);
        return *this;
    }
    ~object()
    {
        const errno_kept kept;
        Close(handle_);
    }
    [[nodiscard]] C *get() const noexcept { return handle_; }

private:
    C *handle_;
};

/// Checks what other processes can share.
template <class T> struct shared {
    static_assert(std::is_trivially_copyable_v<T>, "T must be trivially copyable: other processes see only its bytes");
    static_assert(!std::is_pointer_v<T>, "T must not be a pointer: an address is valid in one process only");
    static_assert(!std::is_const_v<T> && !std::is_volatile_v<T>, "T must be neither const nor volatile");
    static constexpr std::size_t size = sizeof(T);
};

} // namespace detail

/// A segment that is part of this process' memory. The destructor detaches it.
class [[nodiscard]] attachment {
public:
    attachment(const attachment &) = delete;
    attachment(attachment &&other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), size_(std::exchange(other.size_, 0))
    {
    }
    attachment &operator=(attachment other) noexcept
    {
        std::swap(memory_, other.memory_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~attachment()
    {
        if (memory_ != nullptr) {
            const detail::errno_kept kept;
            shm_detach(memory_);
        }
    }

    /// Returns the first byte, page-aligned. Other processes may write at any time.
    [[nodiscard]] void *data() const noexcept { return memory_; }
    /// Returns the exact size in bytes.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Returns the T at an offset; nullptr if it does not fit there, or not at this alignment.
    template <class T> [[nodiscard]] T *at(std::size_t offset = 0) const noexcept
    {
        const std::size_t need = detail::shared<std::remove_cv_t<T>>::size;
        if (memory_ == nullptr || offset > size_ || size_ - offset < need || offset % alignof(T) != 0) {
            return nullptr;
        }
        return static_cast<T *>(static_cast<void *>(static_cast<char *>(memory_) + offset));
    }
#if __cplusplus >= 202002L
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte *>(memory_), size_}; }
#endif
    /// Makes all pages present, so that no later access faults.
    result<void> prefault() const noexcept { return detail::done(shm_prefault(memory_)); }
    /// Detaches the segment now.
    result<void> detach() noexcept
    {
        size_ = 0;
        return detail::done(shm_detach(std::exchange(memory_, nullptr)));
    }

private:
    friend class segment;
    attachment(void *memory, std::size_t size) noexcept : memory_(memory), size_(size) {}

    void *memory_;
    std::size_t size_;
};

/// A plain segment, by its id. It stays until it is removed; remove_at_end() lets the destructor do that.
class [[nodiscard]] segment {
public:
    segment(const segment &) = delete;

    /// Opens the segment that a name stands for: shm_open_name().
    /// @param size in bytes; 0 accepts a segment of any size that exists.
    /// @param more flags of shmget(2), such as SHMKEY_EXCLUSIVE.
    static result<segment> open(std::string_view name, std::size_t size, creation how, int more = 0) noexcept
    {
        const detail::c_string text(name);
        if (!text.is_valid()) {
            return text.why();
        }
        return opened(shm_open_name(text.get(), size, how.flags() | more));
    }
    /// Opens the segment that a path and a project id stand for: shm_open_key().
    static result<segment> open_path(std::string_view path, int project, std::size_t size, creation how,
                                     int more = 0) noexcept
    {
        const detail::c_string text(path);
        if (!text.is_valid()) {
            return text.why();
        }
        return opened(shm_open_key(text.get(), project, size, how.flags() | more));
    }
    /// Opens the segment with a key that is a number: shm_open_key_number().
    static result<segment> open_key_number(int key, std::size_t size, creation how, int more = 0) noexcept
    {
        return opened(shm_open_key_number(key, size, how.flags() | more));
    }
    /// Creates a segment without a key: shm_open_private().
    static result<segment> open_private(std::size_t size, create how = create{}, int more = 0) noexcept
    {
        return opened(shm_open_private(size, creation(how).flags() | more));
    }
    /// Returns the segment with this id. Whether it exists shows when it is used.
    static segment from_id(int id) noexcept { return segment(id); }

    segment(segment &&other) noexcept : id_(std::exchange(other.id_, -1)), remover_(std::exchange(other.remover_, 0)) {}
    segment &operator=(segment other) noexcept
    {
        std::swap(id_, other.id_);
        std::swap(remover_, other.remover_);
        return *this;
    }
    ~segment()
    {
        if (remover_ != 0 && remover_ == shm_this_process()) {
            const detail::errno_kept kept;
            shm_remove(id_);
        }
    }

    /// Returns the System V id.
    [[nodiscard]] int id() const noexcept { return id_; }
    /// Attaches the segment to read and write it.
    result<attachment> attach() const noexcept { return attached(shm_attach(id_, 0)); }
    /// Attaches the segment to read it. A write is SIGSEGV.
    result<attachment> attach(read_only_t) const noexcept { return attached(shm_attach(id_, SHMKEY_READ_ONLY)); }
    /// Attaches the segment at an address of the caller's: shm_attach_at(), with the flags of shmat(2).
    result<attachment> attach_at(const void *address, int flags = 0) const noexcept
    {
        return attached(shm_attach_at(id_, address, flags));
    }
    /// Attaches the segment on huge pages where the system can: shm_attach_huge().
    result<attachment> attach_huge(int flags = 0) const noexcept { return attached(shm_attach_huge(id_, flags)); }
    /// Returns what the kernel knows of the segment.
    [[nodiscard]] result<shm_status> status() const noexcept
    {
        shm_status status;
        return shm_get_status(id_, &status) == -1 ? result<shm_status>(error::last()) : status;
    }
    /// Changes the permission bits, 0 to 0777.
    result<void> set_mode(unsigned int mode) noexcept { return detail::done(shm_set_mode(id_, mode)); }
    /// Changes the owner and the group; SHMKEY_ANY_OWNER leaves one unchanged.
    result<void> set_owner(std::uint32_t uid, std::uint32_t gid = SHMKEY_ANY_OWNER) noexcept
    {
        return detail::done(shm_set_owner(id_, uid, gid));
    }
    /// Removes the segment: its key is free at once, its memory is freed when the last process detaches it.
    result<void> remove() noexcept
    {
        remover_ = 0;
        return detail::done(shm_remove(id_));
    }
    /// Lets the destructor remove the segment, but not that of a copy in a child made by fork().
    void remove_at_end() noexcept { remover_ = shm_this_process(); }

private:
    explicit segment(int id) noexcept : id_(id) {}
    static result<segment> opened(int id) noexcept
    {
        return id == -1 ? result<segment>(error::last()) : result<segment>(segment(id));
    }
    result<attachment> attached(void *memory) const noexcept
    {
        if (memory == nullptr) {
            return error::last();
        }
        attachment attached(memory, 0);
        auto known = status(); // which exists while it is attached
        if (!known) {
            return std::move(known).error();
        }
        attached.size_ = known->size;
        return attached;
    }

    int id_;
    std::uint64_t remover_ = 0; // the process that is to remove it; 0 for none
};

/// A counting semaphore: shm_semaphore.
class [[nodiscard]] semaphore
    : public detail::object<shm_semaphore, shm_semaphore_close, shm_semaphore_id, shm_semaphore_removed> {
public:
    /// Opens the semaphore, or creates it with a first count of 0 to 2147483647.
    static result<semaphore> open(const place &where, unsigned int first = 0, creation how = create{}) noexcept
    {
        const detail::c_string text(where.text());
        if (!text.is_valid()) {
            return text.why();
        }
        const shm_place at = where.with(text.get());
        return detail::handle<semaphore>(shm_semaphore_open_at(&at, first, how.flags()));
    }
    /// Raises the count by one, and wakes one thread that waits. Errors: EOVERFLOW.
    result<void> post() noexcept { return detail::done(shm_semaphore_post(get())); }
    /// Lowers the count by one; waits while it is 0. Errors: ETIMEDOUT, EAGAIN.
    result<void> wait(timeout time = forever) noexcept
    {
        return detail::done(shm_semaphore_wait(get(), time.nanoseconds()));
    }
    /// Returns the count. Another thread may change it at any time.
    [[nodiscard]] result<unsigned int> value() const noexcept
    {
        return detail::number<unsigned int>(shm_semaphore_value(get()));
    }

private:
    using object::object;
    friend result<semaphore> detail::handle<semaphore>(shm_semaphore *) noexcept;
};

/// A robust mutex around a T, whose bytes are 0 at first: shm_mutex. Every pattern of bytes should be a
/// value of T, because another program may have written them: no bool, no enum.
template <class T> class [[nodiscard]] mutex
    : public detail::object<shm_mutex, shm_mutex_close, shm_mutex_id, shm_mutex_removed> {
    static_assert(alignof(T) <= 64, "T must not need an alignment of more than 64 bytes");

public:
    /// The lock, and access to the T while it is held. The destructor unlocks, in the thread that has
    /// locked; in another thread it does nothing.
    class [[nodiscard]] guard {
    public:
        guard(const guard &) = delete;
        guard(guard &&other) noexcept
            : mutex_(std::exchange(other.mutex_, nullptr)), value_(std::exchange(other.value_, nullptr)),
              owner_died_(other.owner_died_), thread_(other.thread_)
        {
        }
        guard &operator=(guard other) noexcept
        {
            std::swap(mutex_, other.mutex_);
            std::swap(value_, other.value_);
            std::swap(owner_died_, other.owner_died_);
            std::swap(thread_, other.thread_);
            return *this;
        }
        ~guard()
        {
            if (mutex_ != nullptr && is_of_this_thread()) {
                const detail::errno_kept kept;
                shm_mutex_unlock(mutex_);
            }
        }

        /// Access the value. Undefined once it is unlocked or moved from.
        [[nodiscard]] T &operator*() const noexcept { return *value_; }
        [[nodiscard]] T *operator->() const noexcept { return value_; }
        /// Returns whether the last owner died with the lock: the value may be half changed. Put it in
        /// order and call mark_consistent(), or it is lost when it is unlocked.
        [[nodiscard]] bool owner_died() const noexcept { return owner_died_; }
        /// Marks the value as consistent. Errors: EPERM another thread has locked; EFAULT it was unlocked.
        result<void> mark_consistent() noexcept
        {
            return is_of_this_thread() ? detail::done(shm_mutex_consistent(mutex_)) : not_owner();
        }
        /// Unlocks now. Errors: EPERM another thread has locked, and nothing is changed; EFAULT it was
        /// unlocked.
        result<void> unlock() noexcept
        {
            if (!is_of_this_thread()) {
                return not_owner();
            }
            value_ = nullptr;
            return detail::done(shm_mutex_unlock(std::exchange(mutex_, nullptr)));
        }

    private:
        friend class mutex;
        guard(shm_mutex *locked, bool owner_died) noexcept
            : mutex_(locked), value_(static_cast<T *>(shm_mutex_data(locked))), owner_died_(owner_died),
              thread_(detail::this_thread())
        {
        }
        [[nodiscard]] bool is_of_this_thread() const noexcept { return thread_ == detail::this_thread(); }
        static result<void> not_owner() noexcept { return error(EPERM, "EPERM: another thread has locked the mutex"); }

        shm_mutex *mutex_;
        T *value_;
        bool owner_died_;
        std::uint64_t thread_;
    };

    /// Opens the mutex, or creates it.
    /// @param layout a name for T, at most 128 bytes, which all processes give alike; or none.
    static result<mutex> open(const place &where, creation how = create{}, std::string_view layout = {}) noexcept
    {
        const detail::c_string text(where.text()), type(layout);
        if (!text.is_valid() || !type.is_valid()) {
            return text.is_valid() ? type.why() : text.why();
        }
        const shm_place at = where.with(text.get());
        return detail::handle<mutex>(shm_mutex_open_at(&at, detail::shared<T>::size, type.get(), how.flags()));
    }
    /// Locks the mutex for the calling thread. Errors: ETIMEDOUT, EAGAIN; EDEADLK this thread has locked it;
    /// ENOTRECOVERABLE the value is lost.
    [[nodiscard]] result<guard> lock(timeout time = forever) noexcept
    {
        const int locked = shm_mutex_lock(get(), time.nanoseconds());
        return locked == -1 ? result<guard>(error::last()) : guard(get(), locked == EOWNERDEAD);
    }

private:
    using detail::object<shm_mutex, shm_mutex_close, shm_mutex_id, shm_mutex_removed>::object;
    friend result<mutex> detail::handle<mutex>(shm_mutex *) noexcept;
};

/// The newest T of one publisher, for any number of readers: shm_latest. Every pattern of bytes should be a
/// value of T, because another program may have written them: no bool, no enum.
template <class T> class [[nodiscard]] latest
    : public detail::object<shm_latest, shm_latest_close, shm_latest_id, shm_latest_removed> {
    static_assert(std::is_nothrow_default_constructible_v<T>,
                  "T must have a default constructor that does not throw: reading starts with one");

public:
    /// Opens the latest value, or creates it without a value. Read permission is enough to read.
    /// @param layout a name for T, at most 128 bytes, which all processes give alike; or none.
    static result<latest> open(const place &where, latest_access how = create{}, std::string_view layout = {}) noexcept
    {
        const detail::c_string text(where.text()), type(layout);
        if (!text.is_valid() || !type.is_valid()) {
            return text.is_valid() ? type.why() : text.why();
        }
        const shm_place at = where.with(text.get());
        return detail::handle<latest>(shm_latest_open_at(&at, detail::shared<T>::size, type.get(), how.flags()));
    }
    /// Publishes a value. The first handle that publishes is the publisher until it is closed. Errors: EBUSY
    /// another handle is the publisher, and its process is not known to be dead; EACCES it was opened
    /// read_only.
    result<void> publish(const T &value) noexcept { return detail::done(shm_latest_publish(get(), &value)); }
    /// Returns the newest value; nothing if none was published. Errors: ESTALE the publisher overtook the
    /// copy 100,000 times in a row.
    [[nodiscard]] result<std::optional<T>> read() const noexcept
    {
        T value{};
        switch (shm_latest_read(get(), &value)) {
        case -1: return error::last();
        case 0: return std::optional<T>();
        default: return std::optional<T>(value);
        }
    }
    /// Returns the newest value if its version is not `seen`, and stores that version. Begin with 0. Errors:
    /// ESTALE.
    [[nodiscard]] result<std::optional<T>> read_newer(std::int64_t &seen) const noexcept
    {
        auto newer = wait_newer(seen, now);
        if (newer || newer.error().is_timeout()) {
            return newer ? std::optional<T>(*newer) : std::optional<T>();
        }
        return std::move(newer).error();
    }
    /// Waits for a value whose version is not `seen`, and stores that version. Begin with 0. Errors:
    /// ETIMEDOUT, EAGAIN; ESTALE.
    [[nodiscard]] result<T> wait_newer(std::int64_t &seen, timeout time = forever) const noexcept
    {
        T value{};
        const std::int64_t version = shm_latest_read_newer(get(), seen, &value, time.nanoseconds());
        if (version == -1) {
            return error::last();
        }
        seen = version;
        return value;
    }
    /// Returns the version of the newest value: 1 for the first; 0 if none was published.
    [[nodiscard]] result<std::int64_t> version() const noexcept
    {
        return detail::number<std::int64_t>(shm_latest_version(get()));
    }

private:
    using detail::object<shm_latest, shm_latest_close, shm_latest_id, shm_latest_removed>::object;
    friend result<latest> detail::handle<latest>(shm_latest *) noexcept;
};

/// Returns the bytes of a string, for ring::send_batch().
[[nodiscard]] inline shm_bytes bytes_of(std::string_view text) noexcept { return {text.data(), text.size()}; }
#if __cplusplus >= 202002L
[[nodiscard]] inline shm_bytes bytes_of(std::span<const std::byte> bytes) noexcept
{
    return {bytes.data(), bytes.size()};
}
#endif

/// Messages from one process to another, or from many to one, in order and none lost: shm_ring. The first
/// handle that sends is the sender, and the first that receives the receiver, until it is closed or calls
/// end_sending() or end_receiving().
class [[nodiscard]] ring : public detail::object<shm_ring, shm_ring_close, shm_ring_id, shm_ring_removed> {
public:
    /// Room for a message that is written in place. The destructor gives it up unless it was committed; until
    /// then the ring sends nothing else (EINVAL). While the thread that has reserved it is live, another
    /// thread can neither end sending (EPERM) nor close the ring: the handle then stays open.
    class [[nodiscard]] slot {
    public:
        slot(const slot &) = delete;
        slot &operator=(const slot &) = delete; // the ring has one at a time
        slot(slot &&other) noexcept : ring_(std::exchange(other.ring_, nullptr)), slot_(std::exchange(other.slot_, {}))
        {
        }
        ~slot()
        {
            if (ring_ != nullptr) {
                const detail::errno_kept kept;
                shm_ring_abort(ring_, &slot_);
            }
        }

        /// Returns the first byte, 8-byte aligned; nullptr once it is committed or given up.
        [[nodiscard]] void *data() const noexcept { return slot_.data; }
        [[nodiscard]] std::size_t size() const noexcept { return slot_.size; }
#if __cplusplus >= 202002L
        [[nodiscard]] std::span<std::byte> bytes() const noexcept
        {
            return {static_cast<std::byte *>(slot_.data), slot_.size};
        }
#endif
        /// Sends the message. Errors: EFAULT it was committed or given up; EPERM the ring has given it up, or
        /// another thread has reserved it.
        result<void> commit() noexcept { return commit(slot_.size); }
        /// Sends the first `size` bytes. Errors: EINVAL it has fewer; then it stays reserved.
        result<void> commit(std::size_t size) noexcept { return ended(shm_ring_commit(ring_, &slot_, size)); }
        /// Gives the slot up now. Errors: those of commit(); then nothing is changed.
        result<void> abort() noexcept { return ended(shm_ring_abort(ring_, &slot_)); }

    private:
        friend class ring;
        slot(shm_ring *ring, const shm_slot &reserved) noexcept : ring_(ring), slot_(reserved) {}
        result<void> ended(int answer) noexcept
        {
            if (answer == -1) {
                return error::last();
            }
            ring_ = nullptr;
            slot_ = {};
            return {};
        }

        shm_ring *ring_;
        shm_slot slot_;
    };

    /// A message in place. It stays the next one until it is released; the destructor does nothing.
    class [[nodiscard]] message {
    public:
        message(const message &) = delete;
        message &operator=(const message &) = delete; // the ring has one at a time
        message(message &&other) noexcept
            : ring_(std::exchange(other.ring_, nullptr)), message_(std::exchange(other.message_, {}))
        {
        }
        ~message() = default;

        /// Returns the first byte, 8-byte aligned. It is valid until the message is released, or the ring is
        /// peeked at or received from again.
        [[nodiscard]] const void *data() const noexcept { return message_.data; }
        [[nodiscard]] std::size_t size() const noexcept { return message_.size; }
        [[nodiscard]] std::string_view text() const noexcept
        {
            return {static_cast<const char *>(message_.data), message_.size};
        }
#if __cplusplus >= 202002L
        [[nodiscard]] std::span<const std::byte> bytes() const noexcept
        {
            return {static_cast<const std::byte *>(message_.data), message_.size};
        }
#endif
        /// Releases the message, so that the following one is the next. Errors: EFAULT it was released; EPERM
        /// the ring was peeked at or received from since, or has ended receiving; ESTALE the sender of a ring
        /// with drop_oldest has dropped it: the bytes that were read are arbitrary.
        result<void> release() noexcept
        {
            const shm_message released = std::exchange(message_, {});
            return detail::done(shm_ring_release(std::exchange(ring_, nullptr), &released));
        }

    private:
        friend class ring;
        message(shm_ring *ring, const shm_message &peeked) noexcept : ring_(ring), message_(peeked) {}

        shm_ring *ring_;
        shm_message message_;
    };

    /// Opens the ring, or creates it.
    /// @param capacity the length of the longest message in bytes, and the room for all messages, 64 or more; 0 opens a
    /// ring that exists.
    static result<ring> open(const place &where, std::size_t capacity, ring_options options = ring_options::none,
                             creation how = create{}) noexcept
    {
        const detail::c_string text(where.text());
        if (!text.is_valid()) {
            return text.why();
        }
        const shm_place at = where.with(text.get());
        return detail::handle<ring>(shm_ring_open_at(&at, capacity, static_cast<int>(options), how.flags()));
    }
    static result<ring> open(const place &where, std::size_t capacity, creation how) noexcept
    {
        return open(where, capacity, ring_options::none, how);
    }

    /// Sends a message; waits for room. Errors: ETIMEDOUT, EAGAIN; EMSGSIZE it is longer than the capacity;
    /// EBUSY another handle is the sender; ENOSPC there are 64 senders; EPIPE, EOWNERDEAD there is no room, and
    /// the receiver has ended or died; EBADMSG another program has overwritten the ring; EINVAL a slot is
    /// reserved.
    result<void> send(std::string_view text, timeout time = forever) noexcept
    {
        return send_bytes(text.data(), text.size(), time);
    }
    /// The same of bytes. It has a name of its own, so that send("text", 5) does not mean five bytes.
    result<void> send_bytes(const void *bytes, std::size_t size, timeout time = forever) noexcept
    {
        return detail::done(shm_ring_send(get(), bytes, size, time.nanoseconds()));
    }
    /// Sends several messages (see bytes_of()), as many as there is room for in time. Returns how many were
    /// sent, from the first on. Errors: those of send(), if none was sent.
    [[nodiscard]] result<std::size_t> send_batch(const shm_bytes *messages, std::size_t count,
                                                 timeout time = forever) noexcept
    {
        return detail::number<std::size_t>(shm_ring_send_batch(get(), messages, count, time.nanoseconds()));
    }
    [[nodiscard]] result<std::size_t> send_batch(std::initializer_list<shm_bytes> messages,
                                                 timeout time = forever) noexcept
    {
        return send_batch(messages.begin(), messages.size(), time);
    }
    /// Reserves room for a message of `size` bytes, to be written in place. Errors: those of send().
    [[nodiscard]] result<slot> reserve(std::size_t size, timeout time = forever) noexcept
    {
        shm_slot reserved{};
        const int answer = shm_ring_reserve(get(), size, &reserved, time.nanoseconds());
        return answer == -1 ? result<slot>(error::last()) : slot(get(), reserved);
    }

    /// Receives a message into a buffer; waits for one. Returns its length. Errors: ETIMEDOUT, EAGAIN; EMSGSIZE
    /// the buffer is too short, and the message stays; EBUSY another handle is the receiver; EPIPE, EOWNERDEAD
    /// there is no message, and the last sender has ended or died; EBADMSG another program has overwritten
    /// the ring.
    [[nodiscard]] result<std::size_t> recv(void *buffer, std::size_t size, timeout time = forever) noexcept
    {
        return detail::number<std::size_t>(shm_ring_recv(get(), buffer, size, time.nanoseconds()));
    }
    /// Receives a message of any length into a string. If the sender of a ring with drop_oldest drops it
    /// before that, receives the next one, with the same time. After a failure the string may be anything.
    /// Errors: those of recv(), except EMSGSIZE. Throws std::bad_alloc; then the message stays.
    result<void> recv(std::string &text, timeout time = forever)
    {
        for (;;) {
            auto found = peek(time);
            if (!found) {
                return std::move(found).error();
            }
            text.assign(found->text());
            auto released = found->release();
            if (released || released.error().number() != ESTALE) {
                return released;
            }
        }
    }
    /// Receives several messages, one behind the other, and stores their lengths: waits for the first, and
    /// takes those that are there with it and fit. Returns how many. Errors: those of recv(), if none was
    /// received.
    [[nodiscard]] result<std::size_t> recv_batch(void *buffer, std::size_t size, std::size_t *lengths,
                                                 std::size_t count, timeout time = forever) noexcept
    {
        return detail::number<std::size_t>(
            shm_ring_recv_batch(get(), buffer, size, lengths, count, time.nanoseconds()));
    }
    /// Waits for a message, and gives access to it in place. Errors: those of recv(), except EMSGSIZE.
    [[nodiscard]] result<message> peek(timeout time = forever) noexcept
    {
        shm_message peeked{};
        const std::ptrdiff_t answer = shm_ring_peek(get(), &peeked, time.nanoseconds());
        return answer == -1 ? result<message>(error::last()) : message(get(), peeked);
    }
#if __cplusplus >= 202002L
    result<void> send(std::span<const std::byte> bytes, timeout time = forever) noexcept
    {
        return send_bytes(bytes.data(), bytes.size(), time);
    }
    [[nodiscard]] result<std::size_t> send_batch(std::span<const shm_bytes> messages, timeout time = forever) noexcept
    {
        return send_batch(messages.data(), messages.size(), time);
    }
    [[nodiscard]] result<std::size_t> recv(std::span<std::byte> buffer, timeout time = forever) noexcept
    {
        return recv(buffer.data(), buffer.size(), time);
    }
    [[nodiscard]] result<std::size_t> recv_batch(std::span<std::byte> buffer, std::span<std::size_t> lengths,
                                                 timeout time = forever) noexcept
    {
        return recv_batch(buffer.data(), buffer.size(), lengths.data(), lengths.size(), time);
    }
#endif

    /// Takes the sender's role before there is anything to send. Errors: EBUSY, ENOSPC, EBADMSG as send().
    result<void> begin_sending() noexcept { return detail::done(shm_ring_begin_sending(get())); }
    /// Takes the receiver's role before there is anything to receive. Errors: EBUSY as recv().
    result<void> begin_receiving() noexcept { return detail::done(shm_ring_begin_receiving(get())); }
    /// Releases the sender's role: the receiver gets EPIPE when it has received all messages.
    result<void> end_sending() noexcept { return detail::done(shm_ring_end_sending(get())); }
    /// Releases the receiver's role.
    result<void> end_receiving() noexcept { return detail::done(shm_ring_end_receiving(get())); }

    /// Returns the length of the longest message: the capacity.
    [[nodiscard]] result<std::size_t> capacity() const noexcept
    {
        return detail::number<std::size_t>(shm_ring_capacity(get()));
    }
    /// Returns how many bytes are in use, by messages and their headers.
    [[nodiscard]] result<std::size_t> used() const noexcept
    {
        return detail::number<std::size_t>(shm_ring_used(get()));
    }
    /// Returns how many messages were dropped to make room, since the ring was created.
    [[nodiscard]] result<std::int64_t> dropped() const noexcept
    {
        return detail::number<std::int64_t>(shm_ring_dropped(get()));
    }

private:
    using object::object;
    friend result<ring> detail::handle<ring>(shm_ring *) noexcept;
};

} // namespace shmkey

#endif // C++17
#endif // SHMKEY_HPP
