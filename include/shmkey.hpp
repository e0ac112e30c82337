/// @file shmkey.hpp
/// System V shared memory, and objects that processes share in it, for C++17 and later: <shmkey.h> with handles that
/// close themselves, typed values, std::chrono times, and errors as values.
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
/// Link with -lshmkey. Everything here is inline and needs neither exceptions nor run-time type information. shmkey(3)
/// and <shmkey.h> describe waiting, what happens when a process dies, and each errno.
///
/// - Failures are values: a result<T> has a T or an error. Only result::value() throws, if there is no
///   value, and recv() into a std::string, if there is no memory.
/// - Handles (mutex, rwlock, condvar, semaphore, latest, ring, broadcast) can be moved and not copied. Their
///   destructors close them; remove() removes the segment. A guard, slot or message must not outlive its handle, which
///   can be moved in between. A moved-from handle can be assigned or destroyed; other calls fail with EFAULT.
/// - Any thread may use a mutex, a rwlock, a condvar or a semaphore at any time. With one handle of a latest value, a
///   ring or a broadcast, one thread at a time publishes or sends, while another one receives. A guard, and a slot of a
///   ring with many senders, ends in the thread where it began.
/// - A child made by fork() may use its parent's handles. The child does not have its parent's locks, slots or
///   messages: the destructors of its copies of guards, slots and messages do nothing.
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

namespace detail {

/// Returns a copy of a string, with a NUL, for delete[]; nullptr if there is no memory.
inline char *copy(std::string_view text) noexcept
{
    char *const made = new (std::nothrow) char[text.size() + 1];
    if (made != nullptr) {
        made[text.copy(made, text.size())] = '\0';
    }
    return made;
}

} // namespace detail

/// Why a call failed. The error of an operation on an object, such as a failed try, is a few numbers and
/// allocates nothing until its sentence is asked for.
class [[nodiscard]] error {
public:
    /// No error.
    error() noexcept = default;
    /// Makes an error with this errno and a copy of this sentence.
    error(int number, const char *sentence) noexcept : number_(number), text_(detail::copy(sentence)) {}
    /// Returns the error of the calling thread's last failed call of the library.
    static error last() noexcept
    {
        error why;
        why.number_ = errno;
        why.is_kept_ = shm_last_failure(&why.failure_) == 1;
        why.text_ = why.is_kept_ ? nullptr : detail::copy(shm_last_error());
        return why;
    }
    error(const error &other) noexcept : number_(other.number_), is_kept_(other.is_kept_), failure_(other.failure_)
    {
        if (!is_kept_ && other.text_ != nullptr) {
            text_ = detail::copy(other.text_);
        }
    }
    error(error &&other) noexcept { swap(other); }
    error &operator=(error other) noexcept
    {
        swap(other);
        return *this;
    }
    ~error() { delete[] text_; }

    /// Returns the errno, such as ENOENT; 0 for no error.
    [[nodiscard]] int number() const noexcept { return number_; }
    /// Returns the errno, to be compared with std::errc.
    [[nodiscard]] std::error_code code() const noexcept { return {number_, std::generic_category()}; }
    /// Returns whether the call only ran out of time: ETIMEDOUT or EAGAIN.
    [[nodiscard]] bool is_timeout() const noexcept { return number_ == ETIMEDOUT || number_ == EAGAIN; }
    /// Returns whether the wait was ended before its event: EINTR or ECANCELED.
    [[nodiscard]] bool is_interrupt() const noexcept { return number_ == EINTR || number_ == ECANCELED; }
    /// Returns a sentence or two: the cause, if it is known, and what to do about it. The string belongs to
    /// this error. Any thread may call it.
    [[nodiscard]] const char *sentence() const noexcept
    {
        // Acquire: pairs with the exchange below, by which another thread publishes the text it has made. (Not
        // std::atomic: from C++20 on, <atomic> declares all of <unistd.h>.)
        const char *text = __atomic_load_n(&text_, __ATOMIC_ACQUIRE);
        if (text == nullptr && is_kept_) {
            char made[1024];
            shm_failure_text(&failure_, made, sizeof(made));
            char *const kept = detail::copy(made);
            char *first = nullptr;
            if (__atomic_compare_exchange_n(&text_, &first, kept, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                text = kept;
            } else {
                delete[] kept;
                text = first;
            }
        }
        return text != nullptr ? text : number_ == 0 ? "no error" : "no memory for a sentence";
    }

private:
    void swap(error &other) noexcept
    {
        std::swap(number_, other.number_);
        std::swap(is_kept_, other.is_kept_);
        std::swap(failure_, other.failure_);
        std::swap(text_, other.text_);
    }

    int number_ = 0;
    bool is_kept_ = false; // the sentence is made of failure_
    shm_failure failure_{};
    mutable char *text_ = nullptr; // once it is made; set once
};

namespace detail {

#if defined(__cpp_exceptions)
/// What value() throws. Its what() is the sentence alone: that of std::system_error also ends with the text of the
/// errno, which says less.
class thrown : public std::system_error {
public:
    explicit thrown(const shmkey::error &why) : std::system_error(why.code()), why_(why) {}
    [[nodiscard]] const char *what() const noexcept override { return why_.sentence(); }

private:
    shmkey::error why_;
};
#endif

/// What result<T> and result<void> have in common.
class outcome {
public:
    /// Returns why the call failed; "no error" if it succeeded.
    [[nodiscard]] const shmkey::error &error() const & noexcept { return why_; }
    [[nodiscard]] shmkey::error error() && noexcept { return std::move(why_); }

protected:
    outcome() noexcept = default;
    explicit outcome(shmkey::error why) noexcept : why_(std::move(why)) {}
    void expect(bool has_value) const
    {
        if (!has_value) {
#if defined(__cpp_exceptions)
            throw thrown(why_);
#else
            std::terminate();
#endif
        }
    }

private:
    shmkey::error why_{};
};

} // namespace detail

/// The result of a call: a T, or the error that says why there is none.
template <class T> class [[nodiscard]] result : public detail::outcome {
public:
    result(T value) noexcept : value_(std::move(value)) {}
    result(shmkey::error why) noexcept : outcome(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return value_.has_value(); }
    [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }

    /// Accesses the T. The behaviour is undefined if there is none, as for std::optional.
    [[nodiscard]] T &operator*() & noexcept { return *value_; }
    [[nodiscard]] const T &operator*() const & noexcept { return *value_; }
    [[nodiscard]] T &&operator*() && noexcept { return *std::move(value_); }
    [[nodiscard]] T *operator->() noexcept { return value_.operator->(); }
    [[nodiscard]] const T *operator->() const noexcept { return value_.operator->(); }

    /// Returns the T. If there is none, throws a std::system_error, whose code() is the errno and whose what() is
    /// the sentence, or calls std::terminate() where exceptions are disabled.
    [[nodiscard]] T &value() & { return expect(has_value()), *value_; }
    [[nodiscard]] const T &value() const & { return expect(has_value()), *value_; }
    [[nodiscard]] T &&value() && { return expect(has_value()), *std::move(value_); }
    /// Returns the T, or `other` if there is none.
    template <class Other> [[nodiscard]] T value_or(Other &&other) const &
    {
        return value_.value_or(std::forward<Other>(other));
    }
    template <class Other> [[nodiscard]] T value_or(Other &&other) &&
    {
        return std::move(value_).value_or(std::forward<Other>(other));
    }

private:
    std::optional<T> value_{};
};

/// The result of a call that returns no value: success, or an error.
template <> class [[nodiscard]] result<void> : public detail::outcome {
public:
    result() noexcept = default;
    result(shmkey::error why) noexcept : outcome(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
    [[nodiscard]] bool has_value() const noexcept { return error().number() == 0; }
    /// Does nothing after a success. After a failure, does what result<T>::value() does.
    void value() const { expect(has_value()); }
};

/// How long to wait: any std::chrono::duration, `now` or `forever`. A fraction of a nanosecond is rounded up. With 0 or
/// less, a call tries once; with more than 292 years, it waits without limit.
class timeout {
public:
    template <class Rep, class Period> constexpr timeout(const std::chrono::duration<Rep, Period> &time) noexcept
        : nanoseconds_(from(std::chrono::duration<long double, std::nano>(time).count()))
    {
    }
    [[nodiscard]] static constexpr timeout never() noexcept { return timeout(SHMKEY_FOREVER); }
    /// Returns the timeout for <shmkey.h>: nanoseconds, SHMKEY_NO_WAIT or SHMKEY_FOREVER.
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

/// Creates what does not exist, with these permission bits: `create{0660}`. They are octal: the leading 0 matters.
struct create {
    constexpr explicit create(unsigned int mode = 0600) noexcept : permissions(mode) {}
    unsigned int permissions;
};
/// Opens what exists, and fails with ENOENT otherwise: `existing`.
struct existing_t { explicit existing_t() = default; };
inline constexpr existing_t existing{};
/// Opens or attaches what exists for reading only: `read_only`.
struct read_only_t { explicit read_only_t() = default; };
inline constexpr read_only_t read_only{};

/// What to do if an object or a segment does not exist: create{0600} or existing.
class creation {
public:
    constexpr creation(create how) noexcept : flags_(SHMKEY_CREATE | static_cast<int>(how.permissions)) {}
    constexpr creation(existing_t) noexcept : flags_(0) {}
    [[nodiscard]] constexpr int flags() const noexcept { return flags_; }

protected:
    constexpr explicit creation(int flags) noexcept : flags_(flags) {}

private:
    int flags_;
};
/// The same for a latest value and a lossy broadcast, which can be opened read_only, too.
class latest_access : private creation {
public:
    using creation::creation;
    using creation::flags;
    constexpr latest_access(read_only_t) noexcept : creation(SHMKEY_READ_ONLY) {}
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

/// What a publisher does when there is no room. All processes that open a broadcast give the same.
enum class broadcast_mode : int {
    lossless = 0,         ///< The publisher waits for the slowest subscriber.
    lossy = SHMKEY_LOSSY, ///< The publisher never waits, and overwrites the oldest messages.
};
inline constexpr broadcast_mode lossless = broadcast_mode::lossless;
inline constexpr broadcast_mode lossy = broadcast_mode::lossy;
/// Where a subscriber begins.
enum class start : int {
    next = 0,                    ///< With the next message that is published.
    oldest = SHMKEY_FROM_OLDEST, ///< With the oldest message that is there.
};

/// Returns the version of the library in use, such as "0.1.0".
[[nodiscard]] inline std::string_view version() noexcept { return shm_version(); }

/// Where an object lies: a name, a path and a project id, or an offset in a segment. It refers to the caller's strings:
/// use it before they change or end.
class place {
public:
    /// A name of 1 to 256 bytes. Every string is a place.
    place(std::string_view name) noexcept : text_(name) {}
    place(const char *name) noexcept : text_(name == nullptr ? std::string_view() : name) {}
    place(const std::string &name) noexcept : text_(name) {}
    /// Returns the place of a file that exists and a project id from 1 to 255: see shm_open_key().
    [[nodiscard]] static place path(std::string_view path, int project) noexcept
    {
        place at(path);
        at.text_is_path_ = true;
        at.place_.proj_id = project;
        return at;
    }
    /// Returns the place at an offset, a multiple of 64, in the segment with this id. The bytes there must be 0 before
    /// the object is created.
    [[nodiscard]] static place in(int segment, std::size_t offset) noexcept
    {
        place at{std::string_view()};
        at.place_.id = segment;
        at.place_.offset = offset;
        at.has_text_ = false;
        return at;
    }
    /// Returns the same place with another timeout: how long to wait while another process is creating the object. The
    /// default is 5 seconds.
    [[nodiscard]] place created_within(timeout time) const noexcept
    {
        place at(*this);
        at.place_.timeout = time.nanoseconds();
        return at;
    }
    /// Returns the same place for a segment that must belong to this user: see the member owner of shm_place.
    [[nodiscard]] place owned_by(std::uint32_t uid) const noexcept
    {
        place at(*this);
        at.place_.owner = uid;
        return at;
    }
    /// Returns the name or the path; nothing for an offset.
    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    /// Returns the place for C, with this copy of text(), which ends with a NUL.
    [[nodiscard]] shm_place with(const char *text) const noexcept
    {
        shm_place at = place_;
        if (has_text_) {
            (text_is_path_ ? at.path : at.name) = text;
        }
        return at;
    }

private:
    std::string_view text_;
    bool has_text_ = true;
    bool text_is_path_ = false;
    shm_place place_ = SHMKEY_PLACE_INIT;
};

/// Ends the waits of a handle, from another thread or a signal handler: shm_canceller. A copy ends the same waits.
class canceller {
public:
    /// Ends no wait.
    constexpr canceller() noexcept = default;
    /// Makes it from what a function of C has returned.
    explicit constexpr canceller(shm_canceller *owned) noexcept : owned_(owned) {}
    /// Ends the waits that are under way, at least one, with ECANCELED; or the next one, if none is under way. A signal
    /// handler may call it: shm_cancel().
    void cancel() const noexcept { shm_cancel(owned_); }

private:
    shm_canceller *owned_ = nullptr;
};

namespace detail {

/// A string with its NUL, for C.
class c_string {
public:
    explicit c_string(std::string_view text) noexcept
        : has_nul_(text.find('\0') != std::string_view::npos), text_(has_nul_ ? nullptr : copy(text))
    {
    }
    c_string(const c_string &) = delete;
    c_string &operator=(const c_string &) = delete;
    ~c_string() { delete[] text_; }
    /// Returns the string; nullptr if it has a NUL in it, or there is no memory for it.
    [[nodiscard]] const char *get() const noexcept { return text_; }
    /// Returns why there is none.
    [[nodiscard]] error why() const noexcept
    {
        return has_nul_ ? error(EINVAL, "EINVAL: a name, a path or a layout has a NUL in it")
                        : error(ENOMEM, "ENOMEM: there is no memory for a name or a path");
    }

private:
    bool has_nul_;
    char *text_;
};

/// Returns what a function of C has returned, as a T; the error if that is -1 or NULL.
template <class T = void, class Answer> result<T> to(Answer answer) noexcept
{
    bool has_failed = false;
    if constexpr (std::is_pointer_v<Answer>) {
        has_failed = answer == nullptr;
    } else {
        has_failed = answer == -1;
    }
    if (has_failed) {
        return error::last();
    }
    if constexpr (std::is_void_v<T>) {
        return {};
    } else {
        return static_cast<T>(answer);
    }
}

/// Opens a T by a function of C, which takes a place and the name of a layout.
template <class T, class Open> result<T> open_at(const place &where, std::string_view layout, Open open) noexcept
{
    const c_string text(where.text()), type(layout);
    if (text.get() == nullptr || type.get() == nullptr) {
        return text.get() == nullptr ? text.why() : type.why();
    }
    const shm_place at = where.with(text.get());
    return to<T>(open(&at, type.get()));
}

/// Returns a number of the calling thread that no other thread of this process has or had.
inline std::uint64_t this_thread() noexcept
{
    static std::uint64_t count = 0;
    thread_local const std::uint64_t number = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    return number;
}

/// A T that can be moved and not copied, and that Release releases. T{} is what is left when it is moved.
template <class T, void (*Release)(T &)> class owned {
public:
    explicit owned(T held) noexcept : held_(held) {}
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    owned(owned &&other) noexcept : held_(other.take()) {}
    owned &operator=(owned &&other) noexcept
    {
        owned taken(std::move(other)); // releases what this has had
        std::swap(held_, taken.held_);
        return *this;
    }
    ~owned()
    {
        const int before = errno; // a destructor leaves it alone
        Release(held_);
        errno = before;
    }
    [[nodiscard]] T take() noexcept { return std::exchange(held_, T{}); }
    [[nodiscard]] T *operator->() noexcept { return &held_; }
    [[nodiscard]] const T *operator->() const noexcept { return &held_; }
    [[nodiscard]] const T &operator*() const noexcept { return held_; }

private:
    T held_;
};

/// What all objects have in common.
template <class C, void (*Close)(C *), int (*Id)(const C *), int (*Removed)(const C *)> class object {
public:
    /// Takes over a handle that a function of C has opened.
    explicit object(C *opened) noexcept : handle_(opened) {}
    /// Returns the handle, for functions of C. Do not close it.
    [[nodiscard]] C *get() const noexcept { return *handle_; }
    /// Returns the id of the segment in which the object lies.
    [[nodiscard]] result<int> id() const noexcept { return to<int>(Id(get())); }
    /// Returns whether that segment has been removed, so that a process that opens the object now gets another one.
    [[nodiscard]] result<bool> removed() const noexcept { return to<bool>(Removed(get())); }
    /// Removes that segment. Processes that have the object open keep it.
    result<void> remove() noexcept { return to(shm_remove(Id(get()))); }

private:
    static void close(C *&handle) { Close(handle); }

    owned<C *, close> handle_;
};

/// What all objects on which a call can wait have in common.
template <class C, void (*Close)(C *), int (*Id)(const C *), int (*Removed)(const C *),
          int (*SetInterruptible)(C *, int), shm_canceller *(*Canceller)(C *)>
class waiting : public object<C, Close, Id, Removed> {
public:
    using object<C, Close, Id, Removed>::object;
    /// Sets whether a signal handler that runs during a wait ends it with EINTR: shm_ring_set_interruptible().
    result<void> set_interruptible(bool on) noexcept { return to(SetInterruptible(this->get(), on)); }
    /// Returns the canceller of this handle, with which another thread or a signal handler can end a wait; it is valid
    /// until the handle is closed. Call this before the wait begins: shm_ring_canceller().
    [[nodiscard]] result<shmkey::canceller> canceller() noexcept
    {
        shm_canceller *const owned = Canceller(this->get());
        return owned == nullptr ? result<shmkey::canceller>(error::last()) : shmkey::canceller(owned);
    }
};

/// Checks what other processes can share.
template <class T> struct shared {
    static_assert(std::is_trivially_copyable_v<T>, "T must be trivially copyable: other processes see only its bytes");
    static_assert(!std::is_pointer_v<T>, "T must not be a pointer: an address is valid in one process only");
    static_assert(!std::is_const_v<T> && !std::is_volatile_v<T>, "T must be neither const nor volatile");
    static constexpr std::size_t size = sizeof(T);
};

/// Bytes in a segment: what an attachment, a slot and a message have in common. C has the members data and
/// size; From is the object that a slot or a message is of. An attachment is of none.
template <class C, class From> struct part {
    From *from;
    C bytes;
};
template <class C, class From, void (*Release)(part<C, From> &)> class memory {
    using pointer = decltype(C::data);
    using byte = std::conditional_t<std::is_same_v<pointer, void *>, std::byte, const std::byte>;

public:
    /// Returns the first byte; nullptr once it is released. Slots and messages are 8-byte aligned, attachments
    /// page-aligned. Other processes may write an attachment at any time.
    [[nodiscard]] pointer data() const noexcept { return held_->bytes.data; }
    /// Returns the exact number of bytes.
    [[nodiscard]] std::size_t size() const noexcept { return held_->bytes.size; }
#if __cplusplus >= 202002L
    [[nodiscard]] std::span<byte> bytes() const noexcept { return {static_cast<byte *>(data()), size()}; }
#endif

protected:
    explicit memory(part<C, From> held) noexcept : held_(held) {}

    owned<part<C, From>, Release> held_;
};

struct attached {
    void *data;
    std::size_t size;
};
inline void detach(part<attached, void> &part)
{
    if (part.bytes.data != nullptr) {
        shm_detach(part.bytes.data);
    }
}
inline void abort(part<shm_slot, shm_ring> &part)
{
    if (part.from != nullptr) {
        shm_ring_abort(part.from, &part.bytes);
    }
}
inline void abort(part<shm_slot, shm_broadcast> &part)
{
    if (part.from != nullptr) {
        shm_broadcast_abort(part.from, &part.bytes);
    }
}
template <class From> void keep(part<shm_message, From> &) {}

} // namespace detail

/// The memory of an attached segment. The destructor detaches it.
class [[nodiscard]] attachment : public detail::memory<detail::attached, void, detail::detach> {
public:
    /// Returns the T at an offset; nullptr if it does not lie inside the segment, or is not aligned.
    template <class T> [[nodiscard]] T *at(std::size_t offset = 0) const noexcept
    {
        const std::size_t need = detail::shared<std::remove_cv_t<T>>::size;
        if (data() == nullptr || offset > size() || size() - offset < need || offset % alignof(T) != 0) {
            return nullptr;
        }
        return static_cast<T *>(static_cast<void *>(static_cast<char *>(data()) + offset));
    }
    /// Makes all pages present, so that no later access faults.
    result<void> prefault() const noexcept { return detail::to(shm_prefault(data())); }
    /// Detaches the segment now.
    result<void> detach() noexcept { return detail::to(shm_detach(held_.take().bytes.data)); }

private:
    friend class segment;
    attachment(void *data, std::size_t size) noexcept : memory({nullptr, {data, size}}) {}
};

/// A plain segment, by its id. It stays until it is removed; after remove_at_end(), the destructor removes it.
class [[nodiscard]] segment {
public:
    /// Opens the segment with this name, or creates it: shm_open_name().
    /// @param size in bytes; 0 accepts a segment of any size that exists.
    /// @param more flags of shmget(2), such as SHMKEY_EXCLUSIVE.
    static result<segment> open(std::string_view name, std::size_t size, creation how, int more = 0) noexcept
    {
        const detail::c_string text(name);
        return text.get() == nullptr ? text.why() : opened(shm_open_name(text.get(), size, how.flags() | more));
    }
    /// Opens the segment of a path and a project id, or creates it: shm_open_key().
    static result<segment> open_path(std::string_view path, int project, std::size_t size, creation how,
                                     int more = 0) noexcept
    {
        const detail::c_string text(path);
        return text.get() == nullptr ? text.why()
                                     : opened(shm_open_key(text.get(), project, size, how.flags() | more));
    }
    /// Opens the segment with this key, a number, or creates it: shm_open_key_number().
    static result<segment> open_key_number(int key, std::size_t size, creation how, int more = 0) noexcept
    {
        return opened(shm_open_key_number(key, size, how.flags() | more));
    }
    /// Creates a segment without a key: shm_open_private().
    static result<segment> open_private(std::size_t size, create how = create{}, int more = 0) noexcept
    {
        return opened(shm_open_private(size, creation(how).flags() | more));
    }
    /// Returns the segment with this id. Does not check that it exists.
    static segment from_id(int id) noexcept { return segment(id); }

    /// Returns the System V id.
    [[nodiscard]] int id() const noexcept { return held_->id; }
    /// Attaches the segment to read and write it.
    result<attachment> attach() const noexcept { return attached(shm_attach(id(), 0)); }
    /// Attaches the segment to read it. A write raises SIGSEGV.
    result<attachment> attach(read_only_t) const noexcept { return attached(shm_attach(id(), SHMKEY_READ_ONLY)); }
    /// Attaches the segment at this address: shm_attach_at(), with the flags of shmat(2).
    result<attachment> attach_at(const void *address, int flags = 0) const noexcept
    {
        return attached(shm_attach_at(id(), address, flags));
    }
    /// Attaches the segment on huge pages where the system has them: shm_attach_huge().
    result<attachment> attach_huge(int flags = 0) const noexcept { return attached(shm_attach_huge(id(), flags)); }
    /// Returns what the kernel knows of the segment.
    [[nodiscard]] result<shm_status> status() const noexcept
    {
        shm_status status;
        return shm_get_status(id(), &status) == -1 ? result<shm_status>(error::last()) : status;
    }
    /// Changes the permission bits, 0 to 0777.
    result<void> set_mode(unsigned int mode) noexcept { return detail::to(shm_set_mode(id(), mode)); }
    /// Changes the owner and the group; SHMKEY_ANY_OWNER leaves one unchanged.
    result<void> set_owner(std::uint32_t uid, std::uint32_t gid = SHMKEY_ANY_OWNER) noexcept
    {
        return detail::to(shm_set_owner(id(), uid, gid));
    }
    /// Removes the segment: its key is free at once, its memory is freed when the last process detaches it.
    result<void> remove() noexcept
    {
        held_->remover = 0;
        return detail::to(shm_remove(id()));
    }
    /// Makes the destructor remove the segment. In a child made by fork(), the destructor of the copy does not.
    void remove_at_end() noexcept { held_->remover = shm_this_process(); }

private:
    struct state {
        int id;
        std::uint64_t remover; // the process that is to remove it; 0 for none
    };
    static void end(state &segment)
    {
        if (segment.remover != 0 && segment.remover == shm_this_process()) {
            shm_remove(segment.id);
        }
    }

    explicit segment(int id) noexcept : held_({id, 0}) {}
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
        attached.held_->bytes.size = known->size;
        return attached;
    }

    detail::owned<state, end> held_;
};

/// A counting semaphore: shm_semaphore.
class [[nodiscard]] semaphore
    : public detail::waiting<shm_semaphore, shm_semaphore_close, shm_semaphore_id, shm_semaphore_removed,
                             shm_semaphore_set_interruptible, shm_semaphore_canceller> {
public:
    using waiting::waiting;
    /// Opens the semaphore, or creates it with a first count of 0 to 2147483647.
    static result<semaphore> open(const place &where, unsigned int first = 0, creation how = create{}) noexcept
    {
        return detail::open_at<semaphore>(where, {}, [&](const shm_place *at, const char *) {
            return shm_semaphore_open_at(at, first, how.flags());
        });
    }
    /// Raises the count by one, and wakes one waiting thread. Errors: EOVERFLOW.
    result<void> post() noexcept { return detail::to(shm_semaphore_post(get())); }
    /// Lowers the count by one; waits while it is 0. Errors: ETIMEDOUT, EAGAIN, EINTR, ECANCELED.
    result<void> wait(timeout time = forever) noexcept
    {
        return detail::to(shm_semaphore_wait(get(), time.nanoseconds()));
    }
    /// Returns a descriptor that is readable when the count may be above 0: for poll(2), epoll(7) and event loops. When
    /// it is readable, call wait() with a time of 0 until that fails with EAGAIN, which makes it unreadable until the
    /// next post, but for at most 250 ms. It belongs to this handle: do not read or close it.
    ///
    /// Errors: EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EAFNOSUPPORT, EPERM, EACCES, ENOSYS.
    [[nodiscard]] result<int> fd() const noexcept { return detail::to<int>(shm_semaphore_fd(get())); }

    /// Returns the count. Another thread may change it at any time.
    [[nodiscard]] result<unsigned int> value() const noexcept
    {
        return detail::to<unsigned int>(shm_semaphore_value(get()));
    }
};

/// A robust mutex around a T, whose bytes are 0 at first: shm_mutex. Every pattern of bytes should be a
/// value of T, because another program may have written them: no bool, no enum.
template <class T> class [[nodiscard]] mutex
    : public detail::waiting<shm_mutex, shm_mutex_close, shm_mutex_id, shm_mutex_removed,
                             shm_mutex_set_interruptible, shm_mutex_canceller> {
    static_assert(alignof(T) <= 64, "T must not need an alignment of more than 64 bytes");
    using base = detail::waiting<shm_mutex, shm_mutex_close, shm_mutex_id, shm_mutex_removed,
                                 shm_mutex_set_interruptible, shm_mutex_canceller>;

public:
    /// The lock, and access to the T while it is held. The destructor unlocks, in the thread that has
    /// locked; in another thread it does nothing.
    class [[nodiscard]] guard {
    public:
        /// Accesses the value. The behaviour is undefined after the guard was unlocked or moved from.
        [[nodiscard]] T &operator*() const noexcept { return *held_->value; }
        [[nodiscard]] T *operator->() const noexcept { return held_->value; }
        /// Returns whether the last owner died while it had the lock: then the value may be half changed. Repair it and
        /// call mark_consistent() before the lock is unlocked; otherwise the value is lost.
        [[nodiscard]] bool owner_died() const noexcept { return held_->owner_died; }
        /// Marks the value as consistent. Errors: EPERM another thread has locked the mutex; EFAULT it was unlocked.
        result<void> mark_consistent() noexcept
        {
            return is_foreign(*held_) ? not_owner() : detail::to(shm_mutex_consistent(held_->mutex));
        }
        /// Unlocks now. Errors: EPERM another thread has locked the mutex, and nothing has changed; EFAULT it was
        /// unlocked.
        result<void> unlock() noexcept
        {
            if (is_foreign(*held_)) {
                return not_owner();
            }
            held_->value = nullptr;
            return detail::to(shm_mutex_unlock(std::exchange(held_->mutex, nullptr)));
        }

    private:
        friend class mutex;
        friend class condvar;
        /// Waits with the mutex, which stays locked unless it returns EPERM or ENOTRECOVERABLE.
        result<void> wait(shm_condvar *notifies, timeout time) noexcept
        {
            if (is_foreign(*held_)) {
                return not_owner();
            }
            const int waited = shm_condvar_wait(notifies, held_->mutex, time.nanoseconds());
            held_->owner_died = waited == EOWNERDEAD;
            if (waited != -1) {
                return {};
            }
            if (errno == EPERM || errno == ENOTRECOVERABLE) {
                held_->mutex = nullptr;
                held_->value = nullptr;
            }
            return error::last();
        }
        struct state {
            shm_mutex *mutex;
            T *value;
            bool owner_died;
            std::uint64_t thread;
        };
        guard(shm_mutex *locked, bool owner_died) noexcept
            : held_({locked, static_cast<T *>(shm_mutex_data(locked)), owner_died, detail::this_thread()})
        {
        }
        static bool is_foreign(const state &held)
        {
            return held.mutex != nullptr && held.thread != detail::this_thread();
        }
        static result<void> not_owner() noexcept { return error(EPERM, "EPERM: another thread has locked the mutex"); }
        static void end(state &held)
        {
            if (held.mutex != nullptr && !is_foreign(held)) {
                shm_mutex_unlock(held.mutex);
            }
        }

        detail::owned<state, end> held_;
    };

    using base::base;
    /// Opens the mutex, or creates it.
    /// @param layout a name for T, at most 128 bytes, the same in all processes; or none.
    static result<mutex> open(const place &where, creation how = create{}, std::string_view layout = {}) noexcept
    {
        return detail::open_at<mutex>(where, layout, [&](const shm_place *at, const char *type) {
            return shm_mutex_open_at(at, detail::shared<T>::size, type, how.flags());
        });
    }
    /// Locks the mutex for the calling thread. Errors: ETIMEDOUT, EAGAIN, EINTR, ECANCELED; EDEADLK this thread has
    /// locked it; ENOTRECOVERABLE the value is lost.
    [[nodiscard]] result<guard> lock(timeout time = forever) noexcept
    {
        const int locked = shm_mutex_lock(this->get(), time.nanoseconds());
        return locked == -1 ? result<guard>(error::last()) : guard(this->get(), locked == EOWNERDEAD);
    }
};

/// A condition variable, with which a thread waits until another thread has changed the value in a mutex: shm_condvar.
class [[nodiscard]] condvar
    : public detail::waiting<shm_condvar, shm_condvar_close, shm_condvar_id, shm_condvar_removed,
                             shm_condvar_set_interruptible, shm_condvar_canceller> {
public:
    using waiting::waiting;
    /// Opens the condition variable, or creates it.
    static result<condvar> open(const place &where, creation how = create{}) noexcept
    {
        return detail::open_at<condvar>(where, {}, [&](const shm_place *at, const char *) {
            return shm_condvar_open_at(at, how.flags());
        });
    }
    /// Unlocks the mutex, waits for a notification, and locks the mutex again. The wait may end without a notification:
    /// call this in a loop. Afterwards, owner_died() of the guard returns whether the last owner died. Errors:
    /// ETIMEDOUT, EAGAIN no notification came, and EINTR, ECANCELED the wait was ended: the guard has the lock; EPERM
    /// another thread has locked the mutex; ENOTRECOVERABLE the value is lost, and the guard is empty; EFAULT the mutex
    /// was unlocked.
    /// @param locked a mutex<T>::guard.
    template <class Guard> result<void> wait(Guard &locked, timeout time = forever) noexcept
    {
        return locked.wait(get(), time);
    }
    /// Notifies one waiting thread.
    result<void> notify_one() noexcept { return detail::to(shm_condvar_notify_one(get())); }
    /// Notifies all waiting threads.
    result<void> notify_all() noexcept { return detail::to(shm_condvar_notify_all(get())); }
};

/// A robust reader-writer lock around a T, whose bytes are 0 at first: shm_rwlock. Every pattern of bytes should be a
/// value of T, because another program may have written them: no bool, no enum.
template <class T> class [[nodiscard]] rwlock
    : public detail::waiting<shm_rwlock, shm_rwlock_close, shm_rwlock_id, shm_rwlock_removed,
                             shm_rwlock_set_interruptible, shm_rwlock_canceller> {
    static_assert(alignof(T) <= 64, "T must not need an alignment of more than 64 bytes");
    using base = detail::waiting<shm_rwlock, shm_rwlock_close, shm_rwlock_id, shm_rwlock_removed,
                                 shm_rwlock_set_interruptible, shm_rwlock_canceller>;

    /// The lock, and access to the value while it is held: to a const T for a reader. The destructor unlocks the lock
    /// in the thread that has locked it; in another thread it does nothing.
    template <class Value> class [[nodiscard]] basic_guard {
    public:
        /// Accesses the value. The behaviour is undefined after the guard was unlocked or moved from.
        [[nodiscard]] Value &operator*() const noexcept { return *held_->value; }
        [[nodiscard]] Value *operator->() const noexcept { return held_->value; }
        /// Returns whether a writer died while it had the lock: then the value may be half changed. A writer must
        /// repair it and call mark_consistent() before it unlocks the lock; otherwise the value is lost. A reader
        /// cannot repair it: it unlocks the lock, which loses nothing, and calls write().
        [[nodiscard]] bool owner_died() const noexcept { return held_->owner_died; }
        /// Marks the value as consistent; only for a writer. Errors: EPERM another thread has the lock; EFAULT it was
        /// unlocked.
        result<void> mark_consistent() noexcept
        {
            static_assert(!std::is_const_v<Value>, "only a writer marks the value as consistent");
            return is_foreign(*held_) ? not_owner() : detail::to(shm_rwlock_consistent(held_->lock));
        }
        /// Unlocks now. Errors: EPERM another thread has the lock, and nothing has changed; EFAULT it was unlocked.
        result<void> unlock() noexcept
        {
            if (is_foreign(*held_)) {
                return not_owner();
            }
            held_->value = nullptr;
            return detail::to(shm_rwlock_unlock(std::exchange(held_->lock, nullptr)));
        }

    private:
        friend class rwlock;
        struct state {
            shm_rwlock *lock;
            Value *value;
            bool owner_died;
            std::uint64_t thread;
        };
        basic_guard(shm_rwlock *locked, bool owner_died) noexcept
            : held_({locked, static_cast<T *>(shm_rwlock_data(locked)), owner_died, detail::this_thread()})
        {
        }
        static bool is_foreign(const state &held)
        {
            return held.lock != nullptr && held.thread != detail::this_thread();
        }
        static result<void> not_owner() noexcept { return error(EPERM, "EPERM: another thread has the lock"); }
        static void end(state &held)
        {
            if (held.lock != nullptr && !is_foreign(held)) {
                shm_rwlock_unlock(held.lock);
            }
        }

        detail::owned<state, end> held_;
    };

public:
    /// The guards of a reader and of a writer.
    using read_guard = basic_guard<const T>;
    using write_guard = basic_guard<T>;

    using base::base;
    /// Opens the lock, or creates it.
    /// @param layout a name for T, at most 128 bytes, the same in all processes; or none.
    static result<rwlock> open(const place &where, creation how = create{}, std::string_view layout = {}) noexcept
    {
        return detail::open_at<rwlock>(where, layout, [&](const shm_place *at, const char *type) {
            return shm_rwlock_open_at(at, detail::shared<T>::size, type, how.flags());
        });
    }
    /// Locks for reading, for the calling thread. Errors: ETIMEDOUT, EAGAIN, EINTR, ECANCELED; EDEADLK this thread has
    /// it locked for writing; ENOTRECOVERABLE the value is lost.
    [[nodiscard]] result<read_guard> read(timeout time = forever) noexcept
    {
        const int locked = shm_rwlock_read(this->get(), time.nanoseconds());
        return locked == -1 ? result<read_guard>(error::last()) : read_guard(this->get(), locked == EOWNERDEAD);
    }
    /// Locks for writing, for the calling thread. Errors: ETIMEDOUT, EAGAIN, EINTR, ECANCELED; EDEADLK this thread has
    /// it locked; ENOTRECOVERABLE the value is lost.
    [[nodiscard]] result<write_guard> write(timeout time = forever) noexcept
    {
        const int locked = shm_rwlock_write(this->get(), time.nanoseconds());
        return locked == -1 ? result<write_guard>(error::last()) : write_guard(this->get(), locked == EOWNERDEAD);
    }
};

/// The newest T of one publisher, for any number of readers: shm_latest. Every pattern of bytes should be a
/// value of T, because another program may have written them: no bool, no enum.
template <class T> class [[nodiscard]] latest
    : public detail::waiting<shm_latest, shm_latest_close, shm_latest_id, shm_latest_removed,
                             shm_latest_set_interruptible, shm_latest_canceller> {
    static_assert(std::is_nothrow_default_constructible_v<T>,
                  "T must have a default constructor that does not throw: reading starts with one");
    using base = detail::waiting<shm_latest, shm_latest_close, shm_latest_id, shm_latest_removed,
                                 shm_latest_set_interruptible, shm_latest_canceller>;

public:
    using base::base;
    /// Opens the latest value, or creates it without a value. Read permission is enough to read.
    /// @param layout a name for T, at most 128 bytes, the same in all processes; or none.
    static result<latest> open(const place &where, latest_access how = create{}, std::string_view layout = {}) noexcept
    {
        return detail::open_at<latest>(where, layout, [&](const shm_place *at, const char *type) {
            return shm_latest_open_at(at, detail::shared<T>::size, type, how.flags());
        });
    }
    /// Publishes a value. The first handle that publishes is the publisher until it is closed. Errors: EBUSY
    /// another handle is the publisher, and its process is not known to be dead; EACCES this handle was opened
    /// read_only, or the segment's mode does not let this process write.
    result<void> publish(const T &value) noexcept { return detail::to(shm_latest_publish(this->get(), &value)); }
    /// Returns the newest value; std::nullopt if none was published. Errors: ESTALE the publisher overwrote the value
    /// during the copy 100,000 times in a row.
    [[nodiscard]] result<std::optional<T>> read() const noexcept
    {
        T value{};
        switch (shm_latest_read(this->get(), &value)) {
        case -1: return error::last();
        case 0: return std::optional<T>();
        default: return std::optional<T>(value);
        }
    }
    /// Returns the newest value and stores its version in `seen`, if the version differs from `seen`; otherwise returns
    /// std::nullopt. Begin with 0. Errors: ESTALE.
    [[nodiscard]] result<std::optional<T>> read_newer(std::int64_t &seen) const noexcept
    {
        auto newer = wait_newer(seen, now);
        if (newer || newer.error().is_timeout()) {
            return newer ? std::optional<T>(*newer) : std::optional<T>();
        }
        return std::move(newer).error();
    }
    /// Waits for a value whose version differs from `seen`, returns it, and stores its version in `seen`. Begin with 0.
    /// Errors: ETIMEDOUT, EAGAIN, EINTR, ECANCELED; ESTALE.
    [[nodiscard]] result<T> wait_newer(std::int64_t &seen, timeout time = forever) const noexcept
    {
        T value{};
        const std::int64_t version = shm_latest_read_newer(this->get(), seen, &value, time.nanoseconds());
        if (version == -1) {
            return error::last();
        }
        seen = version;
        return value;
    }
    /// Returns a descriptor that is readable when there may be a newer value: for poll(2), epoll(7) and event loops.
    /// When it is readable, call read_newer() until that returns std::nullopt, which makes it unreadable until the next
    /// value is published, but for at most 250 ms. It belongs to this handle: do not read or close it.
    ///
    /// Errors: EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EAFNOSUPPORT, EPERM, EACCES, ENOSYS.
    [[nodiscard]] result<int> fd() const noexcept { return detail::to<int>(shm_latest_fd(this->get())); }

    /// Returns the version of the newest value: 1 for the first; 0 if none was published.
    [[nodiscard]] result<std::int64_t> version() const noexcept
    {
        return detail::to<std::int64_t>(shm_latest_version(this->get()));
    }
};

/// Returns the bytes of a string, for ring::send_batch() and broadcast::publish_batch().
[[nodiscard]] inline shm_bytes bytes_of(std::string_view text) noexcept { return {text.data(), text.size()}; }
#if __cplusplus >= 202002L
[[nodiscard]] inline shm_bytes bytes_of(std::span<const std::byte> bytes) noexcept
{
    return {bytes.data(), bytes.size()};
}
#endif

/// Messages from one or many processes to one process, in order and without loss: shm_ring. The first handle that sends
/// is the sender until end_sending(), and the first that receives is the receiver until end_receiving(), or until the
/// handle is closed. If the senders of an earlier run released their roles or died, receiving from an empty ring fails
/// at once, until the next sender starts: see set_keep_waiting().
class [[nodiscard]] ring
    : public detail::waiting<shm_ring, shm_ring_close, shm_ring_id, shm_ring_removed,
                             shm_ring_set_interruptible, shm_ring_canceller> {
public:
    using waiting::waiting;

    /// Room for a message that is written in place. The destructor aborts it unless it was committed; until then the
    /// handle sends nothing else (EINVAL). While the thread that has reserved it is live, another thread can neither
    /// end sending (EPERM) nor close the ring: its handle then stays open.
    class [[nodiscard]] slot : public detail::memory<shm_slot, shm_ring, detail::abort> {
    public:
        slot(slot &&) noexcept = default; // not assigned: the ring has one at a time

        /// Sends the message. Errors: EFAULT the slot was committed or aborted; EPERM the ring has aborted it, or
        /// it was reserved by this process's parent or, in a ring for many senders, by another thread.
        result<void> commit() noexcept { return commit(size()); }
        /// Sends the first `size` bytes. Errors: those of commit(); EINVAL the slot has fewer, and it stays reserved.
        result<void> commit(std::size_t size) noexcept
        {
            return ended(shm_ring_commit(held_->from, &held_->bytes, size));
        }
        /// Aborts the slot now. Errors: those of commit(); then nothing has changed.
        result<void> abort() noexcept { return ended(shm_ring_abort(held_->from, &held_->bytes)); }

    private:
        friend class ring;
        using memory::memory;
        result<void> ended(int answer) noexcept
        {
            if (answer != -1) {
                (void) held_.take();
            }
            return detail::to(answer);
        }
    };

    /// A message in place: data() is valid until the message is released, or the ring is peeked at or received
    /// from again. It stays the next one until it is released; the destructor does nothing.
    class [[nodiscard]] message : public detail::memory<shm_message, shm_ring, detail::keep> {
    public:
        message(message &&) noexcept = default; // not assigned: the ring has one at a time

        [[nodiscard]] std::string_view text() const noexcept { return {static_cast<const char *>(data()), size()}; }
        /// Releases the message, so that the one after it is the next. Errors: EFAULT it was released; EPERM the ring
        /// was peeked at or received from since, or has ended receiving; ESTALE the sender of a ring with drop_oldest
        /// has dropped the message, and the bytes that were read are arbitrary.
        result<void> release() noexcept
        {
            const auto released = held_.take();
            return detail::to(shm_ring_release(released.from, &released.bytes));
        }

    private:
        friend class ring;
        using memory::memory;
    };

    /// Opens the ring, or creates it.
    /// @param capacity the length of the longest message in bytes, and the room for all messages, 64 or more; 0 opens a
    /// ring that exists.
    static result<ring> open(const place &where, std::size_t capacity, ring_options options = ring_options::none,
                             creation how = create{}) noexcept
    {
        return detail::open_at<ring>(where, {}, [&](const shm_place *at, const char *) {
            return shm_ring_open_at(at, capacity, static_cast<int>(options), how.flags());
        });
    }
    static result<ring> open(const place &where, std::size_t capacity, creation how) noexcept
    {
        return open(where, capacity, ring_options::none, how);
    }

    /// Sends a message; waits for room. Errors: ETIMEDOUT, EAGAIN there is no room, or another one of many senders has
    /// a slot reserved or was interrupted while it was sending; EINTR, ECANCELED; EMSGSIZE it is longer than the
    /// capacity; EBUSY another handle is the sender; ENOSPC there are 64 senders; EPIPE, EOWNERDEAD there is no room,
    /// and the receiver has released its role or died; EBADMSG another program has overwritten the ring; EINVAL a slot
    /// is reserved.
    result<void> send(std::string_view text, timeout time = forever) noexcept
    {
        return send_bytes(text.data(), text.size(), time);
    }
    /// Sends `size` bytes as send() does. It has another name, so that the 5 in send("text", 5) cannot be taken for a
    /// size.
    result<void> send_bytes(const void *bytes, std::size_t size, timeout time = forever) noexcept
    {
        return detail::to(shm_ring_send(get(), bytes, size, time.nanoseconds()));
    }
    /// Sends several messages (see bytes_of()), as many as there is room for before the timeout. Returns how many were
    /// sent, beginning with the first. Errors: those of send(), if none was sent.
    [[nodiscard]] result<std::size_t> send_batch(const shm_bytes *messages, std::size_t count,
                                                 timeout time = forever) noexcept
    {
        return detail::to<std::size_t>(shm_ring_send_batch(get(), messages, count, time.nanoseconds()));
    }
    [[nodiscard]] result<std::size_t> send_batch(std::initializer_list<shm_bytes> messages,
                                                 timeout time = forever) noexcept
    {
        return send_batch(messages.begin(), messages.size(), time);
    }
    /// Reserves room for a message of `size` bytes, to be written in place. Errors: those of send(); ENOMEM.
    [[nodiscard]] result<slot> reserve(std::size_t size, timeout time = forever) noexcept
    {
        shm_slot reserved{};
        const int answer = shm_ring_reserve(get(), size, &reserved, time.nanoseconds());
        return answer == -1 ? result<slot>(error::last()) : slot({get(), reserved});
    }

    /// Sets whether receiving continues to wait when all senders have released their roles or died:
    /// shm_ring_set_keep_waiting().
    result<void> set_keep_waiting(bool on) noexcept { return detail::to(shm_ring_set_keep_waiting(get(), on)); }
    /// Receives a message into a buffer; waits for one. Returns its length. Errors: ETIMEDOUT, EAGAIN, EINTR,
    /// ECANCELED; EMSGSIZE the buffer is too short, and the message stays; EBUSY another handle is the receiver; EPIPE
    /// there is no message, and all senders have released their roles; EOWNERDEAD the same, but a sender died instead;
    /// EBADMSG another program has overwritten the ring.
    [[nodiscard]] result<std::size_t> recv(void *buffer, std::size_t size, timeout time = forever) noexcept
    {
        return detail::to<std::size_t>(shm_ring_recv(get(), buffer, size, time.nanoseconds()));
    }
    /// Receives a message of any length into a string. If the sender of a ring with drop_oldest drops the message
    /// before it is copied, receives the next one, and waits for that with the same timeout again. After a failure, the
    /// contents of the string are unspecified.
    /// Errors: those of recv(), except EMSGSIZE; ENOMEM. Throws std::bad_alloc; then the message stays.
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
    /// Receives several messages, one after the other in the buffer, and stores their lengths: waits for the first, and
    /// also takes those that follow it and fit. Returns how many. Errors: those of recv(), if none was received.
    [[nodiscard]] result<std::size_t> recv_batch(void *buffer, std::size_t size, std::size_t *lengths,
                                                 std::size_t count, timeout time = forever) noexcept
    {
        return detail::to<std::size_t>(
            shm_ring_recv_batch(get(), buffer, size, lengths, count, time.nanoseconds()));
    }
    /// Waits for a message, and gives access to it in place. Errors: those of recv(), except EMSGSIZE; ENOMEM.
    [[nodiscard]] result<message> peek(timeout time = forever) noexcept
    {
        shm_message peeked{};
        const std::ptrdiff_t answer = shm_ring_peek(get(), &peeked, time.nanoseconds());
        return answer == -1 ? result<message>(error::last()) : message({get(), peeked});
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

    /// Returns a descriptor that is readable when there may be a message, or when the senders have released their roles
    /// or died: for poll(2), epoll(7) and event loops. When it is readable, call recv() or peek() with a time of 0
    /// until that fails with EAGAIN, which makes it unreadable until the next message, but for at most 250 ms. EPIPE
    /// and EOWNERDEAD leave it readable: see set_keep_waiting(). It belongs to this handle: do not read or close it.
    ///
    /// Errors: EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EAFNOSUPPORT, EPERM, EACCES, ENOSYS; EBUSY another handle
    /// is the receiver, and its process is not known to be dead.
    [[nodiscard]] result<int> fd() noexcept { return detail::to<int>(shm_ring_fd(get())); }

    /// Takes the sender's role before there is anything to send. Errors: EBUSY, ENOSPC, EBADMSG as send().
    result<void> begin_sending() noexcept { return detail::to(shm_ring_begin_sending(get())); }
    /// Takes the receiver's role before there is anything to receive. Errors: EBUSY as recv().
    result<void> begin_receiving() noexcept { return detail::to(shm_ring_begin_receiving(get())); }
    /// Releases the sender's role: the receiver gets EPIPE when it has received all messages.
    result<void> end_sending() noexcept { return detail::to(shm_ring_end_sending(get())); }
    /// Releases the receiver's role.
    result<void> end_receiving() noexcept { return detail::to(shm_ring_end_receiving(get())); }

    /// Returns the length of the longest message: the capacity.
    [[nodiscard]] result<std::size_t> capacity() const noexcept
    {
        return detail::to<std::size_t>(shm_ring_capacity(get()));
    }
    /// Returns how many bytes are in use, by messages and their headers.
    [[nodiscard]] result<std::size_t> used() const noexcept { return detail::to<std::size_t>(shm_ring_used(get())); }
    /// Returns how many messages were dropped to make room, since the ring was created.
    [[nodiscard]] result<std::int64_t> dropped() const noexcept
    {
        return detail::to<std::int64_t>(shm_ring_dropped(get()));
    }
};

/// Messages from one process to up to 64 subscribers, each of which receives all of them: shm_broadcast. The first
/// handle that publishes is the publisher until end_publishing(), or until it is closed. Without a subscriber, it does
/// not wait, and overwrites the oldest messages. A handle that has called subscribe() receives. If the publisher of an
/// earlier run released its role or died, receiving fails at once, until the next publisher starts: see
/// set_keep_waiting().
class [[nodiscard]] broadcast
    : public detail::waiting<shm_broadcast, shm_broadcast_close, shm_broadcast_id, shm_broadcast_removed,
                             shm_broadcast_set_interruptible, shm_broadcast_canceller> {
public:
    using waiting::waiting;

    /// Room for a message that is written in place. The destructor aborts it unless it was committed; until then the
    /// handle publishes nothing else (EINVAL).
    class [[nodiscard]] slot : public detail::memory<shm_slot, shm_broadcast, detail::abort> {
    public:
        slot(slot &&) noexcept = default; // not assigned: the handle has one at a time

        /// Publishes the message. Errors: EFAULT the slot was committed or aborted; EPERM the handle has aborted it.
        result<void> commit() noexcept { return commit(size()); }
        /// Publishes the first `size` bytes. Errors: those of commit(); EINVAL the slot has fewer, and it stays
        /// reserved.
        result<void> commit(std::size_t size) noexcept
        {
            return ended(shm_broadcast_commit(held_->from, &held_->bytes, size));
        }
        /// Aborts the slot now. Errors: those of commit(); then nothing has changed.
        result<void> abort() noexcept { return ended(shm_broadcast_abort(held_->from, &held_->bytes)); }

    private:
        friend class broadcast;
        using memory::memory;
        result<void> ended(int answer) noexcept
        {
            if (answer != -1) {
                (void) held_.take();
            }
            return detail::to(answer);
        }
    };

    /// A message in place, or a copy of it: data() is valid until the message is released, or until the handle peeks or
    /// receives again. It stays the next one until it is released; the destructor does nothing.
    class [[nodiscard]] message : public detail::memory<shm_message, shm_broadcast, detail::keep> {
    public:
        message(message &&) noexcept = default; // not assigned: the handle has one at a time

        [[nodiscard]] std::string_view text() const noexcept { return {static_cast<const char *>(data()), size()}; }
        /// Releases the message, so that the one after it is the next. Errors: EFAULT it was released; EPERM the handle
        /// has peeked or received since, or has unsubscribed; ESTALE the publisher of a lossless broadcast has dropped
        /// this subscriber as a dead one, and the bytes that were read are arbitrary.
        result<void> release() noexcept
        {
            const auto released = held_.take();
            return detail::to(shm_broadcast_release(released.from, &released.bytes));
        }

    private:
        friend class broadcast;
        using memory::memory;
    };

    /// Opens the broadcast, or creates it. Read permission is enough to subscribe to a lossy one.
    /// @param capacity the length of the longest message in bytes, and the room for all messages, 64 or more; 0 opens a
    /// broadcast that exists.
    static result<broadcast> open(const place &where, std::size_t capacity, broadcast_mode mode = lossless,
                                  latest_access how = create{}) noexcept
    {
        return detail::open_at<broadcast>(where, {}, [&](const shm_place *at, const char *) {
            return shm_broadcast_open_at(at, capacity, static_cast<int>(mode), how.flags());
        });
    }
    static result<broadcast> open(const place &where, std::size_t capacity, latest_access how) noexcept
    {
        return open(where, capacity, lossless, how);
    }

    /// Publishes a message; in a lossless broadcast, waits for room. Errors: ETIMEDOUT, EAGAIN, EINTR, ECANCELED;
    /// EMSGSIZE the message is longer than the capacity; EBUSY another handle is the publisher; EACCES this handle was
    /// opened read_only, or the segment's mode does not let this process write; EBADMSG another program has overwritten
    /// the broadcast; EINVAL a slot is reserved.
    result<void> publish(std::string_view text, timeout time = forever) noexcept
    {
        return publish_bytes(text.data(), text.size(), time);
    }
    /// Publishes `size` bytes as publish() does. It has another name, so that the 5 in publish("text", 5) cannot be
    /// taken for a size.
    result<void> publish_bytes(const void *bytes, std::size_t size, timeout time = forever) noexcept
    {
        return detail::to(shm_broadcast_publish(get(), bytes, size, time.nanoseconds()));
    }
    /// Publishes several messages (see bytes_of()), as many as there is room for before the timeout. Returns how many
    /// were published, beginning with the first. Errors: those of publish(), if none was.
    [[nodiscard]] result<std::size_t> publish_batch(const shm_bytes *messages, std::size_t count,
                                                    timeout time = forever) noexcept
    {
        return detail::to<std::size_t>(shm_broadcast_publish_batch(get(), messages, count, time.nanoseconds()));
    }
    [[nodiscard]] result<std::size_t> publish_batch(std::initializer_list<shm_bytes> messages,
                                                    timeout time = forever) noexcept
    {
        return publish_batch(messages.begin(), messages.size(), time);
    }
    /// Reserves room for a message of `size` bytes, to be written in place. Errors: those of publish(); ENOMEM.
    [[nodiscard]] result<slot> reserve(std::size_t size, timeout time = forever) noexcept
    {
        shm_slot reserved{};
        const int answer = shm_broadcast_reserve(get(), size, &reserved, time.nanoseconds());
        return answer == -1 ? result<slot>(error::last()) : slot({get(), reserved});
    }

    /// Subscribes: the first message is the next one that is published, or the oldest one that is not overwritten.
    /// Errors: ENOSPC there are 64 subscribers; EBADMSG, ESTALE.
    result<void> subscribe(start from = start::next) noexcept
    {
        return detail::to(shm_broadcast_subscribe(get(), static_cast<int>(from)));
    }
    /// Returns a descriptor that is readable when there may be a message, or when the publisher has released its role
    /// or died: for poll(2), epoll(7) and event loops. When it is readable, call recv() or peek() with a time of 0
    /// until that fails with EAGAIN, which makes it unreadable until the next message, but for at most 250 ms. EPIPE
    /// and EOWNERDEAD leave it readable: see set_keep_waiting(). It belongs to this handle: do not read or close it.
    ///
    /// Errors: EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EAFNOSUPPORT, EPERM, EACCES, ENOSYS; EPERM this handle is
    /// not subscribed.
    [[nodiscard]] result<int> fd() noexcept { return detail::to<int>(shm_broadcast_fd(get())); }

    /// Ends the subscription of this handle: the publisher no longer waits for it.
    result<void> unsubscribe() noexcept { return detail::to(shm_broadcast_unsubscribe(get())); }

    /// Sets whether receiving continues to wait when the publisher has released its role or died:
    /// shm_broadcast_set_keep_waiting().
    result<void> set_keep_waiting(bool on) noexcept { return detail::to(shm_broadcast_set_keep_waiting(get(), on)); }
    /// Receives a message into a buffer; waits for one. Returns its length. Errors: ETIMEDOUT, EAGAIN, EINTR,
    /// ECANCELED; EMSGSIZE the buffer is too short, and the message stays; EPERM this handle is not subscribed; EPIPE,
    /// EOWNERDEAD there is no message, and the publisher has released its role or died; ESTALE the publisher of a
    /// lossless broadcast has dropped this subscriber as a dead one; EBADMSG another program has overwritten the
    /// broadcast.
    [[nodiscard]] result<std::size_t> recv(void *buffer, std::size_t size, timeout time = forever) noexcept
    {
        return detail::to<std::size_t>(shm_broadcast_recv(get(), buffer, size, time.nanoseconds()));
    }
    /// Receives a message of any length into a string. Errors: those of recv(), except EMSGSIZE; ENOMEM. Throws
    /// std::bad_alloc; then the message stays.
    result<void> recv(std::string &text, timeout time = forever)
    {
        auto found = peek(time);
        if (!found) {
            return std::move(found).error();
        }
        text.assign(found->text());
        return found->release();
    }
    /// Receives several messages, one after the other in the buffer, and stores their lengths: waits for the first, and
    /// also takes those that follow it and fit. Returns how many. Errors: those of recv(), if none was received.
    [[nodiscard]] result<std::size_t> recv_batch(void *buffer, std::size_t size, std::size_t *lengths,
                                                 std::size_t count, timeout time = forever) noexcept
    {
        return detail::to<std::size_t>(
            shm_broadcast_recv_batch(get(), buffer, size, lengths, count, time.nanoseconds()));
    }
    /// Waits for a message, and gives access to it: to a copy if the broadcast is lossy or the message wraps around the
    /// end of its memory, otherwise in place. Errors: those of recv(), except EMSGSIZE; ENOMEM.
    [[nodiscard]] result<message> peek(timeout time = forever) noexcept
    {
        shm_message peeked{};
        const std::ptrdiff_t answer = shm_broadcast_peek(get(), &peeked, time.nanoseconds());
        return answer == -1 ? result<message>(error::last()) : message({get(), peeked});
    }
#if __cplusplus >= 202002L
    result<void> publish(std::span<const std::byte> bytes, timeout time = forever) noexcept
    {
        return publish_bytes(bytes.data(), bytes.size(), time);
    }
    [[nodiscard]] result<std::size_t> publish_batch(std::span<const shm_bytes> messages,
                                                    timeout time = forever) noexcept
    {
        return publish_batch(messages.data(), messages.size(), time);
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

    /// Takes the publisher's role before there is anything to publish. Errors: EBUSY, EACCES, EBADMSG as publish().
    result<void> begin_publishing() noexcept { return detail::to(shm_broadcast_begin_publishing(get())); }
    /// Releases the publisher's role: the subscribers get EPIPE when they have received all messages.
    result<void> end_publishing() noexcept { return detail::to(shm_broadcast_end_publishing(get())); }

    /// Returns how many messages of a lossy broadcast this handle has missed since it subscribed. Errors: EPERM this
    /// handle is not subscribed.
    [[nodiscard]] result<std::int64_t> missed() noexcept
    {
        return detail::to<std::int64_t>(shm_broadcast_missed(get()));
    }
    /// Returns the length of the longest message: the capacity that the broadcast was created with.
    [[nodiscard]] result<std::size_t> capacity() const noexcept
    {
        return detail::to<std::size_t>(shm_broadcast_capacity(get()));
    }
    /// Returns how many bytes are in use, by messages that are not overwritten and their headers.
    [[nodiscard]] result<std::size_t> used() const noexcept
    {
        return detail::to<std::size_t>(shm_broadcast_used(get()));
    }
    /// Returns how many subscribers there are, without those whose handles are read_only.
    [[nodiscard]] result<int> subscribers() const noexcept
    {
        return detail::to<int>(shm_broadcast_subscribers(get()));
    }
};

/// An object that wait_any() can wait for: a semaphore, a ring, a broadcast, or a latest value with a version.
class waitable {
public:
    /// Waits until the count is not 0.
    waitable(const semaphore &object) noexcept : waitable() { held_.semaphore = object.get(); }
    /// Waits for a message, or until the senders have released their roles or died. The handle becomes the receiver.
    waitable(const ring &object) noexcept : waitable() { held_.ring = object.get(); }
    /// Waits for a message, or until the publisher has released its role or died. The handle must be subscribed.
    waitable(const broadcast &object) noexcept : waitable() { held_.broadcast = object.get(); }
    /// Waits for a value whose version differs from `seen`.
    template <class T> waitable(const latest<T> &object, std::int64_t seen) noexcept : waitable()
    {
        held_.latest = object.get();
        held_.seen = seen;
    }

private:
    friend result<std::size_t> wait_any(const waitable *, std::size_t, timeout) noexcept;
    waitable() noexcept : held_() {}

    shm_waitable held_;
};

/// Waits until one of 1 to 128 objects is ready, and returns its index. Receives nothing from it. Errors: ETIMEDOUT,
/// EAGAIN; EINTR, ECANCELED a signal handler, or the canceller of one of the objects, has ended the wait; EINVAL there
/// are too few or too many objects, or the same ring or broadcast is given twice; EBUSY another handle is the receiver of a
/// ring; EPERM a broadcast is not subscribed; and those of fd() before Linux 5.16.
[[nodiscard]] inline result<std::size_t> wait_any(const waitable *objects, std::size_t count,
                                                  timeout time = forever) noexcept
{
    static_assert(sizeof(waitable) == sizeof(shm_waitable), "an array of one is an array of the other");
    const shm_waitable *first = objects == nullptr ? nullptr : &objects->held_;
    return detail::to<std::size_t>(shm_wait_any(first, count, time.nanoseconds()));
}
/// Does the same for the objects of a list: wait_any({orders, stop, {position, seen}}).
[[nodiscard]] inline result<std::size_t> wait_any(std::initializer_list<waitable> objects,
                                                  timeout time = forever) noexcept
{
    return wait_any(objects.begin(), objects.size(), time);
}

} // namespace shmkey

#endif // C++17
#endif // SHMKEY_HPP
