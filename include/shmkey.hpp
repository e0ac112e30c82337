/*
 * shmkey.hpp - System V shared memory from C++17: <shmkey.h> with owners, types and <chrono>.
 *
 *     #include <shmkey.hpp>
 *     #include <cstdio>
 *     using namespace std::chrono_literals;
 *
 *     struct position { double north, east; };
 *
 *     auto where = shmkey::latest<position>::open("position");   // any process opens it like this
 *     if (!where) { std::fprintf(stderr, "%s\n", where.error().sentence()); return 1; }
 *     if (!where->publish({52.5, 13.4})) return 1;               // one process does this
 *
 *     std::int64_t seen = 0;                                     // and any number do this
 *     auto newer = where->wait_newer(seen, 100ms);
 *     if (!newer) { std::fprintf(stderr, "%s\n", newer.error().sentence()); return 1; }
 *     std::printf("%.1f %.1f\n", newer->north, newer->east);
 *     if (!where->remove()) return 1;                           // it stays until somebody does
 *
 * Nothing to link but the C library: -lshmkey, or libshmkey.a. All of this is inline, and needs
 * neither exceptions nor run-time type information.
 *
 * What <shmkey.h> says holds here, function by function: what waits for whom, who may be killed
 * when, which errno means what. What C++ adds:
 *
 * FAILURE is a value: what can fail returns a result<T>, which is true if there is a T in it, and
 *   has an error() otherwise, with the errno and the sentence. The compiler warns of one that is
 *   not looked at. Nothing here throws, except that ring::recv() into a std::string does what a
 *   string does when there is no memory; an error then goes without its sentence. Using the T of a
 *   result that has none is undefined, as with std::optional.
 * OWNERSHIP: mutex, semaphore, latest and ring are handles: they can be moved and not copied, and
 *   their end closes them, never what they stand for. That is a segment, which outlives its
 *   processes; remove() removes it. An attachment detaches at its end. guard, slot and message are
 *   parts of a use: none may outlive the handle that it came from (moving the handle is fine). What
 *   was moved from can only be destroyed or assigned to; other use of it is an error (EFAULT,
 *   EINVAL for what C has no object for), not a crash.
 * TIME: any std::chrono::duration; parts of a nanosecond count as one, what is not positive is one
 *   try (`now`), what is longer than 292 years is `forever`. Time that is over is ETIMEDOUT, a try
 *   in vain EAGAIN; error::is_timeout() is true for both.
 * NAMES are std::string_views, and so may be anything that converts to one. They need no NUL at
 *   their end and must have none inside.
 * THREADS: mutex, semaphore: any thread at any time. latest: reading and waiting by any number,
 *   publishing by one at a time. ring: one sends and one receives at a time. A guard, and a slot
 *   of a ring with many senders, ends in the thread where it began. Opening, moving and destroying
 *   a handle is the business of one thread.
 * FORK: a child may use the handles that its parent opened. A guard, slot or message that the
 *   parent had is not the child's, and its end there does nothing.
 * TYPES in a mutex or latest value are trivially copyable and have no pointers in them that mean
 *   something elsewhere. Another program may have written the bytes, so every pattern of them
 *   should be a value: no bool, no enum, unless it is looked at as a number first. All who open
 *   one agree on its size, and on the name of its layout if one gives it.
 */
#ifndef SHMKEY_HPP
#define SHMKEY_HPP

#include <shmkey.h>

#include <sys/shm.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
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

// Why a call failed. The error of a failed operation on an object, such as a failed try, is a few
// numbers until its sentence is asked for: it costs no allocation.
class [[nodiscard]] error {
public:
    // What the calling thread's last failed call of the library says. What else went wrong has an
    // errno of its own, and here a sentence of its own.
    static error last() noexcept
    {
        error why;
        why.number_ = errno;
        why.is_kept_ = shm_last_failure(&why.failure_) == 1;
        if (!why.is_kept_) {
            why.text_.store(copy(shm_last_error()), std::memory_order_relaxed);
        }
        return why;
    }
    error(int number, const char *sentence) noexcept : number_(number), text_(copy(sentence)) {}
    // No error.
    error() noexcept = default;

    error(const error &other) noexcept
        : number_(other.number_), is_kept_(other.is_kept_), failure_(other.failure_)
    {
        if (!is_kept_) {
            text_.store(copy(other.text_.load(std::memory_order_acquire)),
                        std::memory_order_relaxed);
        }
    }
    error(error &&other) noexcept
        : number_(other.number_), is_kept_(other.is_kept_), failure_(other.failure_)
    {
        // Relaxed: what moves an error has it to itself.
        char *const text = other.text_.load(std::memory_order_relaxed);
        if (text != nullptr) {
            text_.store(text, std::memory_order_relaxed);
            other.text_.store(nullptr, std::memory_order_relaxed);
        }
    }
    error &operator=(error other) noexcept
    {
        number_ = other.number_;
        is_kept_ = other.is_kept_;
        failure_ = other.failure_;
        // Relaxed: as above. The old text goes with `other`.
        char *const text = text_.load(std::memory_order_relaxed);
        text_.store(other.text_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        other.text_.store(text, std::memory_order_relaxed);
        return *this;
    }
    // Relaxed: what destroys an error has it to itself.
    ~error() { delete[] text_.load(std::memory_order_relaxed); }

    // The errno, such as ENOENT.
    [[nodiscard]] int number() const noexcept { return number_; }
    // The same for those who compare with std::errc.
    [[nodiscard]] std::error_code code() const noexcept
    {
        return {number_, std::generic_category()};
    }
    // A sentence or two for a person: the cause as far as it could be found out, and what to do.
    // It is made when it is first asked for, belongs to this error, and any thread may read it.
    [[nodiscard]] const char *sentence() const noexcept
    {
        // Acquire: with the address comes the text, which another thread may have made.
        const char *const text = text_.load(std::memory_order_acquire);
        if (text != nullptr) {
            return text;
        }
        if (!is_kept_) {
            return number_ == 0 ? "no error" : "no memory for a sentence";
        }
        char made[1024];
        shm_failure_text(&failure_, made, sizeof(made));
        char *const kept = copy(made);
        char *other = nullptr;
        // Release: as above. All threads get the text that was first.
        if (kept == nullptr ||
            !text_.compare_exchange_strong(other, kept, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
            delete[] kept;
            return other != nullptr ? other : "no memory for a sentence";
        }
        return kept;
    }
    // Whether there was only not enough time: ETIMEDOUT, EAGAIN.
    [[nodiscard]] bool is_timeout() const noexcept
    {
        return number_ == ETIMEDOUT || number_ == EAGAIN;
    }

private:
    static char *copy(const char *sentence) noexcept
    {
        if (sentence == nullptr) {
            return nullptr;
        }
        const std::size_t size = std::strlen(sentence) + 1;
        char *const text = new (std::nothrow) char[size];
        if (text != nullptr) {
            std::memcpy(text, sentence, size);
        }
        return text;
    }

    int number_ = 0;
    bool is_kept_ = false;
    // What the sentence is made of; only if it is kept.
    shm_failure failure_{};
    mutable std::atomic<char *> text_{nullptr};
};

// A T, or why there is none.
template <class T> class [[nodiscard]] result {
public:
    result(T value) noexcept : value_(std::move(value)) {}
    result(shmkey::error why) noexcept : why_(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return value_.has_value(); }
    [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }

    // The T. Only where it is true.
    [[nodiscard]] T &operator*() & noexcept { return *value_; }
    [[nodiscard]] const T &operator*() const & noexcept { return *value_; }
    [[nodiscard]] T &&operator*() && noexcept { return *std::move(value_); }
    [[nodiscard]] T *operator->() noexcept { return value_.operator->(); }
    [[nodiscard]] const T *operator->() const noexcept { return value_.operator->(); }

    // Why there is no T. Where it is true: number 0, "no error".
    [[nodiscard]] const shmkey::error &error() const & noexcept { return why_; }
    [[nodiscard]] shmkey::error error() && noexcept { return std::move(why_); }

private:
    std::optional<T> value_{};
    shmkey::error why_{};
};

// Done, or why not.
template <> class [[nodiscard]] result<void> {
public:
    result() noexcept = default;
    result(shmkey::error why) noexcept : why_(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return why_.number() == 0; }
    [[nodiscard]] bool has_value() const noexcept { return why_.number() == 0; }
    // Why it was not done. Where it is true: number 0, "no error".
    [[nodiscard]] const shmkey::error &error() const & noexcept { return why_; }
    [[nodiscard]] shmkey::error error() && noexcept { return std::move(why_); }

private:
    shmkey::error why_{};
};

// How long to wait: any duration, `now` or `forever`.
class timeout {
public:
    template <class Rep, class Period>
    constexpr timeout(const std::chrono::duration<Rep, Period> &time) noexcept
        : nanoseconds_(from(std::chrono::duration<long double, std::nano>(time).count()))
    {
    }
    // As <shmkey.h> has it: -1 for ever, 0 one try, else nanoseconds.
    [[nodiscard]] constexpr std::int64_t nanoseconds() const noexcept { return nanoseconds_; }
    [[nodiscard]] static constexpr timeout never() noexcept { return timeout(-1); }

private:
    constexpr explicit timeout(std::int64_t nanoseconds) noexcept : nanoseconds_(nanoseconds) {}
    static constexpr std::int64_t from(long double nanoseconds) noexcept
    {
        // What is no number is no time either.
        if (!(nanoseconds > 0)) {
            return 0;
        }
        if (nanoseconds >= static_cast<long double>(std::numeric_limits<std::int64_t>::max())) {
            return -1;
        }
        const auto whole = static_cast<std::int64_t>(nanoseconds);
        return static_cast<long double>(whole) < nanoseconds ? whole + 1 : whole;
    }

    std::int64_t nanoseconds_;
};

// Wait as long as it takes.
inline constexpr timeout forever = timeout::never();
// Try once.
inline constexpr timeout now = std::chrono::nanoseconds(0);

// Flags for opening: what is not there is made, with these permission bits.
[[nodiscard]] constexpr int create(int mode = 0600) noexcept { return IPC_CREAT | mode; }
// Flags for opening: only what exists.
inline constexpr int existing = 0;
// Flags for opening a latest value, or attaching a segment, read-only. Nothing is created.
inline constexpr int read_only = SHM_RDONLY;

// The version of the library in use, such as "0.1.0".
[[nodiscard]] inline std::string_view version() noexcept { return shm_version(); }

namespace detail {

// A string with its NUL, for C. One that is too long for every use keeps a length that the library
// refuses.
class c_string {
public:
    explicit c_string(std::string_view text) noexcept
        : whole_(text.find('\0') == std::string_view::npos)
    {
        const std::size_t size = text.size() < max ? text.size() : max;
        if (size != 0) {
            std::memcpy(text_, text.data(), size);
        }
        text_[size] = '\0';
    }
    [[nodiscard]] bool is_whole() const noexcept { return whole_; }
    [[nodiscard]] const char *get() const noexcept { return text_; }
    [[nodiscard]] const char *get_or_null() const noexcept { return text_[0] ? text_ : nullptr; }

private:
    static constexpr std::size_t max = 4096;
    bool whole_;
    char text_[max + 1];
};

inline error nul_inside() noexcept
{
    return {EINVAL, "EINVAL: there is a NUL inside of a name, a path or the name of a layout"};
}

// An answer of C's, which is -1 for a failure.
template <class Answer> result<void> done(Answer answer) noexcept
{
    if (answer == -1) {
        return error::last();
    }
    return {};
}

template <class T, class Answer> result<T> number(Answer answer) noexcept
{
    if (answer == -1) {
        return error::last();
    }
    return static_cast<T>(answer);
}

// Ends what it has, and leaves errno as it was: the end of a scope is no place to look at it.
template <class End> void keeping_errno(End end) noexcept
{
    const int before = errno;
    end();
    errno = before;
}

// Returns a number of the calling thread that no other thread of this process has, or has had.
inline std::uint64_t this_thread() noexcept
{
    static std::atomic<std::uint64_t> count{0};
    thread_local const std::uint64_t number = count.fetch_add(1, std::memory_order_relaxed);
    return number;
}

template <class Object, void (*Close)(Object *)> struct closer {
    void operator()(Object *object) const noexcept
    {
        keeping_errno([object] { Close(object); });
    }
};
template <class Object, void (*Close)(Object *)>
using handle = std::unique_ptr<Object, closer<Object, Close>>;

} // namespace detail

// Where an object lies: a name, or a path and a project id, or an offset in a segment that exists.
// It refers to the strings that it was made of, and is made to be passed on at once.
class place {
public:
    // A name, 1 to 256 bytes. So whatever is a string is a place.
    place(std::string_view name) noexcept : text_(name) {}
    place(const char *name) noexcept : text_(name == nullptr ? std::string_view() : name) {}
    place(const std::string &name) noexcept : text_(name) {}

    // A file that exists, and a number from 1 to 255: see shm_open_key().
    [[nodiscard]] static place path(std::string_view path, int project) noexcept
    {
        return {kind::path, path, project, 0};
    }
    // A segment, by its id, and an offset, a multiple of 64, where the bytes are 0 at first.
    [[nodiscard]] static place in(int segment, std::size_t offset) noexcept
    {
        return {kind::within, {}, segment, offset};
    }

    // Has C's function open the object at this place. For the classes below.
    template <class Handle, class Open> [[nodiscard]] result<Handle> open(Open open) const noexcept
    {
        const detail::c_string text(text_);
        if (!text.is_whole()) {
            return detail::nul_inside();
        }
        shm_place at = SHMKEY_PLACE_INIT;
        switch (kind_) {
        case kind::name: at.name = text.get(); break;
        case kind::path:
            at.path = text.get();
            at.proj_id = number_;
            break;
        case kind::within:
            at.id = number_;
            at.offset = offset_;
            break;
        }
        Handle handle(open(&at));
        if (!handle) {
            return error::last();
        }
        return handle;
    }

private:
    enum class kind { name, path, within };
    place(kind what, std::string_view text, int number, std::size_t offset) noexcept
        : kind_(what), text_(text), number_(number), offset_(offset)
    {
    }

    kind kind_ = kind::name;
    std::string_view text_;
    int number_ = 0;
    std::size_t offset_ = 0;
};

// A segment that is part of this process' memory, until the end of this object.
class [[nodiscard]] attachment {
public:
    attachment(const attachment &) = delete;
    attachment &operator=(const attachment &) = delete;
    attachment(attachment &&other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), size_(std::exchange(other.size_, 0))
    {
    }
    attachment &operator=(attachment &&other) noexcept
    {
        attachment taken(std::move(other));
        std::swap(memory_, taken.memory_);
        std::swap(size_, taken.size_);
        return *this;
    }
    ~attachment()
    {
        if (memory_ != nullptr) {
            detail::keeping_errno([this] { shm_detach(memory_); });
        }
    }

    // The first byte, page-aligned. Others write meanwhile: see <shmkey.h>, NOT SYNCHRONISED.
    [[nodiscard]] void *data() const noexcept { return memory_; }
    // The exact size in bytes.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    // The bytes at an offset as a T; nullptr if it does not fit there, or not at this alignment.
    template <class T> [[nodiscard]] T *at(std::size_t offset = 0) const noexcept
    {
        static_assert(std::is_trivially_copyable_v<T>, "other processes have only the bytes");
        if (memory_ == nullptr || offset > size_ || size_ - offset < sizeof(T) ||
            offset % alignof(T) != 0) {
            return nullptr;
        }
        return static_cast<T *>(static_cast<void *>(static_cast<char *>(memory_) + offset));
    }
#if __cplusplus >= 202002L
    [[nodiscard]] std::span<std::byte> bytes() const noexcept
    {
        return {static_cast<std::byte *>(memory_), size_};
    }
#endif
    // Makes all pages present: shm_prefault().
    result<void> prefault() const noexcept { return detail::done(shm_prefault(memory_)); }
    // Detaches it now, and says whether that worked.
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

// A plain segment, by its id. It belongs to nobody and stays until somebody removes it; this
// object's end removes it if remove_at_end() says so.
class [[nodiscard]] segment {
public:
    segment(const segment &) = delete;
    segment &operator=(const segment &) = delete;

    // By a name: shm_open_name(). A size of 0 takes one that exists as it is.
    static result<segment> open(std::string_view name, std::size_t size, int flags) noexcept
    {
        const detail::c_string text(name);
        if (!text.is_whole()) {
            return detail::nul_inside();
        }
        return opened(shm_open_name(text.get(), size, flags));
    }
    // By a path and a project id: shm_open_key().
    static result<segment> open_path(std::string_view path, int project, std::size_t size,
                                     int flags) noexcept
    {
        const detail::c_string text(path);
        if (!text.is_whole()) {
            return detail::nul_inside();
        }
        return opened(shm_open_key(text.get(), project, size, flags));
    }
    // By a number: shm_open_key_number().
    static result<segment> open_raw(int key, std::size_t size, int flags) noexcept
    {
        return opened(shm_open_key_number(key, size, flags));
    }
    // One without a key: shm_open_private().
    static result<segment> open_private(std::size_t size, int flags = 0600) noexcept
    {
        return opened(shm_open_private(size, flags));
    }
    // The one with this id, whether it exists or not.
    static segment from_id(int id) noexcept { return segment(id); }

    segment(segment &&other) noexcept
        : id_(std::exchange(other.id_, -1)), remover_(std::exchange(other.remover_, 0))
    {
    }
    segment &operator=(segment &&other) noexcept
    {
        segment taken(std::move(other));
        std::swap(id_, taken.id_);
        std::swap(remover_, taken.remover_);
        return *this;
    }
    ~segment()
    {
        if (remover_ != 0 && remover_ == shm_this_process()) {
            detail::keeping_errno([this] { shm_remove(id_); });
        }
    }

    // A real System V id.
    [[nodiscard]] int id() const noexcept { return id_; }
    // Attaches it: shm_attach(), with its flags, such as SHM_RDONLY.
    result<attachment> attach(int flags = 0) const noexcept
    {
        return attached(shm_attach(id_, flags));
    }
    // At an address of the caller's choosing: shm_attach_at().
    result<attachment> attach_at(const void *address, int flags = 0) const noexcept
    {
        return attached(shm_attach_at(id_, address, flags));
    }
    // On huge pages where the system can: shm_attach_huge().
    result<attachment> attach_huge(int flags = 0) const noexcept
    {
        return attached(shm_attach_huge(id_, flags));
    }
    // What the kernel knows of it.
    [[nodiscard]] result<shm_status> status() const noexcept
    {
        shm_status status;
        if (shm_get_status(id_, &status) == -1) {
            return error::last();
        }
        return status;
    }
    // Removes it: its key is free at once, and its memory goes when the last process detaches it.
    result<void> remove() noexcept
    {
        remover_ = 0;
        return detail::done(shm_remove(id_));
    }
    // Changes the permission bits, 0 to 0777.
    result<void> set_mode(unsigned int mode) noexcept
    {
        return detail::done(shm_set_mode(id_, mode));
    }
    // Changes the owner and the group; -1 leaves one as it is.
    result<void> set_owner(std::uint32_t uid, std::uint32_t gid) noexcept
    {
        return detail::done(shm_set_owner(id_, uid, gid));
    }
    // Has the end of this object remove it, but not in a child made by fork().
    void remove_at_end() noexcept { remover_ = shm_this_process(); }

private:
    explicit segment(int id) noexcept : id_(id) {}
    static result<segment> opened(int id) noexcept
    {
        if (id == -1) {
            return error::last();
        }
        return segment(id);
    }
    result<attachment> attached(void *memory) const noexcept
    {
        if (memory == nullptr) {
            return error::last();
        }
        attachment attached(memory, 0);
        // It is there as long as it is attached, and who may attach it may ask.
        auto known = status();
        if (!known) {
            return std::move(known).error();
        }
        attached.size_ = known->size;
        return attached;
    }

    int id_;
    // The process that is to remove it; 0 for none.
    std::uint64_t remover_ = 0;
};

// A counting semaphore: shm_semaphore.
class [[nodiscard]] semaphore {
public:
    // Opens it, or makes it with this first count, 0 to 2147483647.
    static result<semaphore> open(place where, unsigned int first = 0,
                                  int flags = create()) noexcept
    {
        auto handle = where.open<handle_type>(
            [=](const shm_place *at) { return shm_semaphore_open_at(at, first, flags); });
        if (!handle) {
            return std::move(handle).error();
        }
        return semaphore(*std::move(handle));
    }
    // Raises the count by one, and wakes one who waits.
    // Errors: EOVERFLOW.
    result<void> post() noexcept { return detail::done(shm_semaphore_post(handle_.get())); }
    // Lowers the count by one, waiting until that is possible.
    // Errors: ETIMEDOUT, EAGAIN.
    result<void> wait(timeout time = forever) noexcept
    {
        return detail::done(shm_semaphore_wait(handle_.get(), time.nanoseconds()));
    }
    // The count at this moment.
    [[nodiscard]] result<unsigned int> value() const noexcept
    {
        return detail::number<unsigned int>(shm_semaphore_value(handle_.get()));
    }
    // The id of the segment that it lies in.
    [[nodiscard]] result<int> id() const noexcept
    {
        return detail::number<int>(shm_semaphore_id(handle_.get()));
    }
    // Says whether that segment has been removed: a process that opens it anew gets another one.
    [[nodiscard]] result<bool> removed() const noexcept
    {
        return detail::number<bool>(shm_semaphore_removed(handle_.get()));
    }
    // Removes that segment. Those who have it open go on.
    result<void> remove() noexcept
    {
        return detail::done(shm_remove(shm_semaphore_id(handle_.get())));
    }

private:
    using handle_type = detail::handle<shm_semaphore, shm_semaphore_close>;
    explicit semaphore(handle_type handle) noexcept : handle_(std::move(handle)) {}
    handle_type handle_;
};

// A robust mutex around a T, whose bytes are 0 at first: shm_mutex.
template <class T> class [[nodiscard]] mutex {
    static_assert(std::is_trivially_copyable_v<T>, "other processes have only the bytes");
    static_assert(!std::is_pointer_v<T>, "a pointer means nothing to other processes");
    static_assert(!std::is_const_v<T> && !std::is_volatile_v<T>, "a T that can be written");
    static_assert(alignof(T) <= 64, "the bytes are aligned to 64");

public:
    // The lock, and access to the T while it is held. Its destructor unlocks, in the thread that has
    // locked; in another thread it does nothing, even if that thread has locked the mutex since.
    class [[nodiscard]] guard {
    public:
        guard(const guard &) = delete;
        guard &operator=(const guard &) = delete;
        guard(guard &&other) noexcept
            : mutex_(std::exchange(other.mutex_, nullptr)),
              value_(std::exchange(other.value_, nullptr)), owner_died_(other.owner_died_),
              thread_(other.thread_)
        {
        }
        guard &operator=(guard &&other) noexcept
        {
            guard taken(std::move(other));
            std::swap(mutex_, taken.mutex_);
            std::swap(value_, taken.value_);
            std::swap(owner_died_, taken.owner_died_);
            std::swap(thread_, taken.thread_);
            return *this;
        }
        ~guard()
        {
            if (mutex_ != nullptr && is_of_this_thread()) {
                detail::keeping_errno([this] { shm_mutex_unlock(mutex_); });
            }
        }

        // The value. Undefined once it is unlocked or moved from, as with std::optional.
        [[nodiscard]] T &operator*() const noexcept { return *value_; }
        [[nodiscard]] T *operator->() const noexcept { return value_; }
        // The last owner died while it had the lock: the value may be half changed. Put it in
        // order and call mark_consistent(), or it is lost when this ends.
        [[nodiscard]] bool owner_died() const noexcept { return owner_died_; }
        // Says that the value is in order again.
        // Errors: EPERM another thread has locked; EFAULT it was unlocked.
        result<void> mark_consistent() noexcept
        {
            if (!is_of_this_thread()) {
                return not_owner();
            }
            return detail::done(shm_mutex_consistent(mutex_));
        }
        // Unlocks now, and says whether that worked.
        // Errors: EPERM another thread has locked, and then nothing is changed; EFAULT it was
        // unlocked.
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
            : mutex_(locked), value_(static_cast<T *>(shm_mutex_data(locked))),
              owner_died_(owner_died), thread_(detail::this_thread())
        {
        }
        [[nodiscard]] bool is_of_this_thread() const noexcept
        {
            return thread_ == detail::this_thread();
        }
        static error not_owner() noexcept
        {
            return {EPERM, "EPERM: another thread has locked the mutex"};
        }

        shm_mutex *mutex_;
        T *value_;
        bool owner_died_;
        std::uint64_t thread_;
    };

    // Opens it, or makes it. layout: a name for the type, at most 128 bytes, that all who open it
    // give alike; or none.
    static result<mutex> open(place where, int flags = create(),
                              std::string_view layout = {}) noexcept
    {
        const detail::c_string type(layout);
        if (!type.is_whole()) {
            return detail::nul_inside();
        }
        const char *const text = type.get_or_null();
        auto handle = where.open<handle_type>(
            [=](const shm_place *at) { return shm_mutex_open_at(at, sizeof(T), text, flags); });
        if (!handle) {
            return std::move(handle).error();
        }
        return mutex(*std::move(handle));
    }
    // Locks it for the calling thread.
    // Errors: ETIMEDOUT, EAGAIN; EDEADLK this thread has it already; ENOTRECOVERABLE the value is
    // lost.
    [[nodiscard]] result<guard> lock(timeout time = forever) noexcept
    {
        const int locked = shm_mutex_lock(handle_.get(), time.nanoseconds());
        if (locked == -1) {
            return error::last();
        }
        return guard(handle_.get(), locked == EOWNERDEAD);
    }
    // The id of the segment that it lies in.
    [[nodiscard]] result<int> id() const noexcept
    {
        return detail::number<int>(shm_mutex_id(handle_.get()));
    }
    // Says whether that segment has been removed: a process that opens it anew gets another one.
    [[nodiscard]] result<bool> removed() const noexcept
    {
        return detail::number<bool>(shm_mutex_removed(handle_.get()));
    }
    // Removes that segment. Those who have it open go on.
    result<void> remove() noexcept { return detail::done(shm_remove(shm_mutex_id(handle_.get()))); }

private:
    using handle_type = detail::handle<shm_mutex, shm_mutex_close>;
    explicit mutex(handle_type handle) noexcept : handle_(std::move(handle)) {}
    handle_type handle_;
};

// The newest T of one publisher, for any number of readers: shm_latest.
template <class T> class [[nodiscard]] latest {
    static_assert(std::is_trivially_copyable_v<T>, "other processes have only the bytes");
    static_assert(!std::is_pointer_v<T>, "a pointer means nothing to other processes");
    static_assert(!std::is_const_v<T> && !std::is_volatile_v<T>, "a T that can be written");
    static_assert(std::is_nothrow_default_constructible_v<T>, "reading needs a T to read into");

public:
    // Opens it, or makes it without a value. layout: a name for the type, at most 128 bytes, that
    // all who open it give alike; or none. Read permission is enough to read; with the flags
    // read_only, this process cannot write.
    static result<latest> open(place where, int flags = create(),
                               std::string_view layout = {}) noexcept
    {
        const detail::c_string type(layout);
        if (!type.is_whole()) {
            return detail::nul_inside();
        }
        const char *const text = type.get_or_null();
        auto handle = where.open<handle_type>(
            [=](const shm_place *at) { return shm_latest_open_at(at, sizeof(T), text, flags); });
        if (!handle) {
            return std::move(handle).error();
        }
        return latest(*std::move(handle));
    }
    // Makes this the newest value. The first who does so is the publisher, until it destroys this
    // or ends.
    // Errors: EBUSY another handle or a live process is the publisher; EACCES it was opened read-only.
    result<void> publish(const T &value) noexcept
    {
        return detail::done(shm_latest_publish(handle_.get(), &value));
    }
    // The newest value; none if nothing was published yet.
    // Errors: ESTALE the publisher was faster than the copy 100,000 times in a row.
    [[nodiscard]] result<std::optional<T>> read() const noexcept
    {
        T value{};
        switch (shm_latest_read(handle_.get(), &value)) {
        case -1: return error::last();
        case 0: return std::optional<T>();
        default: return std::optional<T>(value);
        }
    }
    // The newest value if it is not of the version that was seen; remembers that it is seen. Begin
    // with 0.
    // Errors: ESTALE.
    [[nodiscard]] result<std::optional<T>> read_newer(std::int64_t &seen) const noexcept
    {
        auto newer = wait_newer(seen, now);
        if (newer) {
            return std::optional<T>(*newer);
        }
        if (newer.error().is_timeout()) {
            return std::optional<T>();
        }
        return std::move(newer).error();
    }
    // Waits for a value of another version than was seen, and remembers that it is seen. Begin
    // with 0.
    // Errors: ETIMEDOUT, EAGAIN; ESTALE.
    [[nodiscard]] result<T> wait_newer(std::int64_t &seen, timeout time = forever) const noexcept
    {
        T value{};
        const std::int64_t version =
            shm_latest_read_newer(handle_.get(), seen, &value, time.nanoseconds());
        if (version == -1) {
            return error::last();
        }
        seen = version;
        return value;
    }
    // The version of the newest value: how many were published; 0 for none.
    [[nodiscard]] result<std::int64_t> version() const noexcept
    {
        return detail::number<std::int64_t>(shm_latest_version(handle_.get()));
    }
    // The id of the segment that it lies in.
    [[nodiscard]] result<int> id() const noexcept
    {
        return detail::number<int>(shm_latest_id(handle_.get()));
    }
    // Says whether that segment has been removed: a process that opens it anew gets another one.
    [[nodiscard]] result<bool> removed() const noexcept
    {
        return detail::number<bool>(shm_latest_removed(handle_.get()));
    }
    // Removes that segment. Those who have it open go on.
    result<void> remove() noexcept
    {
        return detail::done(shm_remove(shm_latest_id(handle_.get())));
    }

private:
    using handle_type = detail::handle<shm_latest, shm_latest_close>;
    explicit latest(handle_type handle) noexcept : handle_(std::move(handle)) {}
    handle_type handle_;
};

// Flags of ring::open(), besides create(): up to 64 processes send at a time.
inline constexpr int many_senders = SHMKEY_MANY_SENDERS;
// And: a sender without room drops the oldest messages instead of waiting.
inline constexpr int drop_oldest = SHMKEY_DROP_OLDEST;

// Bytes of a string, for ring::send_batch().
[[nodiscard]] inline shm_bytes bytes_of(std::string_view text) noexcept
{
    return {text.data(), text.size()};
}
#if __cplusplus >= 202002L
[[nodiscard]] inline shm_bytes bytes_of(std::span<const std::byte> bytes) noexcept
{
    return {bytes.data(), bytes.size()};
}
#endif

// Messages from one process to another, or from many to one, in order and none lost: shm_ring.
//
// Whoever first sends is the sender, and whoever first receives the receiver, until it destroys
// the ring, or calls end_sending() or end_receiving().
class [[nodiscard]] ring {
public:
    // Room for a message that is written in place. Its destructor gives it up, unless it was committed;
    // until then the ring sends nothing else (EINVAL). If the ring has given it up, in end_sending(),
    // committing it and giving it up fail (EPERM). While the thread that has reserved it lives, another
    // thread can neither end sending (EPERM) nor destroy the ring: the handle then stays open.
    class [[nodiscard]] slot {
    public:
        slot(const slot &) = delete;
        slot &operator=(const slot &) = delete; // the ring has one at a time
        slot(slot &&other) noexcept
            : ring_(std::exchange(other.ring_, nullptr)), slot_(std::exchange(other.slot_, {}))
        {
        }
        ~slot()
        {
            if (ring_ != nullptr) {
                detail::keeping_errno([this] { shm_ring_abort(ring_, &slot_); });
            }
        }

        // Where its bytes begin, 8-byte aligned. No longer once it is committed or given up.
        [[nodiscard]] void *data() const noexcept { return slot_.data; }
        [[nodiscard]] std::size_t size() const noexcept { return slot_.size; }
#if __cplusplus >= 202002L
        [[nodiscard]] std::span<std::byte> bytes() const noexcept
        {
            return {static_cast<std::byte *>(slot_.data), slot_.size};
        }
#endif
        // Sends the message.
        // Errors: EFAULT it was committed or given up; EPERM the ring has given it up, or another
        // thread has reserved it.
        result<void> commit() noexcept { return commit(slot_.size); }
        // Sends its first `size` bytes.
        // Errors: EINVAL it has fewer; then it stays reserved.
        result<void> commit(std::size_t size) noexcept
        {
            auto sent = detail::done(shm_ring_commit(ring_, &slot_, size));
            if (sent) {
                forget();
            }
            return sent;
        }
        // Gives it up now.
        // Errors: those of commit(); then nothing is changed.
        result<void> abort() noexcept
        {
            auto given_up = detail::done(shm_ring_abort(ring_, &slot_));
            if (given_up) {
                forget();
            }
            return given_up;
        }

    private:
        friend class ring;
        slot(shm_ring *ring, const shm_slot &reserved) noexcept : ring_(ring), slot_(reserved) {}
        void forget() noexcept
        {
            ring_ = nullptr;
            slot_ = {};
        }

        shm_ring *ring_;
        shm_slot slot_;
    };

    // A message in place. It stays the next one until it is released: its end alone does nothing.
    class [[nodiscard]] message {
    public:
        message(const message &) = delete;
        message &operator=(const message &) = delete; // the ring has one at a time
        message(message &&other) noexcept
            : ring_(std::exchange(other.ring_, nullptr)),
              message_(std::exchange(other.message_, {}))
        {
        }
        ~message() = default;

        // Where its bytes begin, 8-byte aligned. No longer once it is released, or the ring was
        // looked at or received from again.
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
        // Releases it, so that the following message is the next one.
        // Errors: EFAULT it was released; EPERM the ring was peeked at or received from since, or
        // has ended receiving; ESTALE the sender of a ring with drop_oldest has dropped it: what
        // was read of it may be anything.
        result<void> release() noexcept
        {
            const shm_message released = std::exchange(message_, {});
            return detail::done(shm_ring_release(std::exchange(ring_, nullptr), &released));
        }

    private:
        friend class ring;
        message(shm_ring *ring, const shm_message &peeked) noexcept : ring_(ring), message_(peeked)
        {
        }

        shm_ring *ring_;
        shm_message message_;
    };

    // Opens it, or makes it, for messages of `capacity` bytes together, 64 at least; 0 opens one
    // that exists as it is. flags: create() or existing, with many_senders and drop_oldest.
    static result<ring> open(place where, std::size_t capacity, int flags = create()) noexcept
    {
        auto handle = where.open<handle_type>(
            [=](const shm_place *at) { return shm_ring_open_at(at, capacity, flags & (many_senders | drop_oldest),
                                                                    flags & ~(many_senders | drop_oldest)); });
        if (!handle) {
            return std::move(handle).error();
        }
        return ring(*std::move(handle));
    }

    // Sends a message, waiting for room.
    // Errors: ETIMEDOUT, EAGAIN; EMSGSIZE it is longer than the capacity; EBUSY somebody else who
    // lives is the sender; ENOSPC there are 64 senders; EPIPE, EOWNERDEAD there is no room, and no
    // receiver any more; EBADMSG somebody has overwritten the ring; EINVAL a slot is reserved.
    result<void> send(std::string_view text, timeout time = forever) noexcept
    {
        return send_bytes(text.data(), text.size(), time);
    }
    // (A name of its own, so that send("text", 5) is not taken for five bytes.)
    result<void> send_bytes(const void *bytes, std::size_t size, timeout time = forever) noexcept
    {
        return detail::done(shm_ring_send(handle_.get(), bytes, size, time.nanoseconds()));
    }
#if __cplusplus >= 202002L
    result<void> send(std::span<const std::byte> bytes, timeout time = forever) noexcept
    {
        return send_bytes(bytes.data(), bytes.size(), time);
    }
#endif
    // Sends several messages (see bytes_of()), as many as there is room for in time; receivers see
    // those that go together at once. How many were sent, from the first on.
    // Errors: those of send(), if not one was sent.
    [[nodiscard]] result<std::size_t> send_batch(const shm_bytes *messages, std::size_t count,
                                                 timeout time = forever) noexcept
    {
        return detail::number<std::size_t>(
            shm_ring_send_batch(handle_.get(), messages, count, time.nanoseconds()));
    }
    [[nodiscard]] result<std::size_t> send_batch(std::initializer_list<shm_bytes> messages,
                                                 timeout time = forever) noexcept
    {
        return send_batch(messages.begin(), messages.size(), time);
    }
#if __cplusplus >= 202002L
    [[nodiscard]] result<std::size_t> send_batch(std::span<const shm_bytes> messages,
                                                 timeout time = forever) noexcept
    {
        return send_batch(messages.data(), messages.size(), time);
    }
#endif
    // Reserves room for a message of `size` bytes, to be written in place.
    // Errors: those of send().
    [[nodiscard]] result<slot> reserve(std::size_t size, timeout time = forever) noexcept
    {
        shm_slot reserved{};
        if (shm_ring_reserve(handle_.get(), size, &reserved, time.nanoseconds()) == -1) {
            return error::last();
        }
        return slot(handle_.get(), reserved);
    }

    // Receives a message into a buffer, waiting for it. Its length.
    // Errors: ETIMEDOUT, EAGAIN; EMSGSIZE the buffer is too short, and the message stays; EBUSY
    // somebody else who lives is the receiver; EPIPE, EOWNERDEAD there is no message, and no
    // sender any more; EBADMSG somebody has overwritten the ring.
    [[nodiscard]] result<std::size_t> recv(void *buffer, std::size_t size,
                                           timeout time = forever) noexcept
    {
        return detail::number<std::size_t>(
            shm_ring_recv(handle_.get(), buffer, size, time.nanoseconds()));
    }
#if __cplusplus >= 202002L
    [[nodiscard]] result<std::size_t> recv(std::span<std::byte> buffer,
                                           timeout time = forever) noexcept
    {
        return recv(buffer.data(), buffer.size(), time);
    }
#endif
    // Receives a message of any length into a string, which gets that length. One that the sender
    // of a ring with drop_oldest drops meanwhile is given up for the next, with the same time. On
    // failure the string may be anything. Throws what std::string throws when there is no memory,
    // and then the message stays.
    // Errors: those of recv(), without EMSGSIZE.
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
    // Receives several messages, one behind the other in the buffer, and stores their lengths:
    // waits for the first, and takes those that are there with it and fit. How many.
    // Errors: those of recv(), if not one was received.
    [[nodiscard]] result<std::size_t> recv_batch(void *buffer, std::size_t size,
                                                 std::size_t *lengths, std::size_t count,
                                                 timeout time = forever) noexcept
    {
        return detail::number<std::size_t>(shm_ring_recv_batch(handle_.get(), buffer, size, lengths,
                                                               count, time.nanoseconds()));
    }
#if __cplusplus >= 202002L
    [[nodiscard]] result<std::size_t> recv_batch(std::span<std::byte> buffer,
                                                 std::span<std::size_t> lengths,
                                                 timeout time = forever) noexcept
    {
        return recv_batch(buffer.data(), buffer.size(), lengths.data(), lengths.size(), time);
    }
#endif
    // Waits for a message, and gives access to it in place.
    // Errors: those of recv(), without EMSGSIZE.
    [[nodiscard]] result<message> peek(timeout time = forever) noexcept
    {
        shm_message peeked{};
        if (shm_ring_peek(handle_.get(), &peeked, time.nanoseconds()) == -1) {
            return error::last();
        }
        return message(handle_.get(), peeked);
    }

    // Becomes the sender, or one of them, before there is anything to send.
    // Errors: EBUSY, ENOSPC, EBADMSG as for send().
    result<void> begin_sending() noexcept
    {
        return detail::done(shm_ring_begin_sending(handle_.get()));
    }
    // Becomes the receiver, before there is anything to receive.
    // Errors: EBUSY as for recv().
    result<void> begin_receiving() noexcept
    {
        return detail::done(shm_ring_begin_receiving(handle_.get()));
    }
    // Gives the sender's part back: the receiver is told when it has received everything.
    result<void> end_sending() noexcept
    {
        return detail::done(shm_ring_end_sending(handle_.get()));
    }
    // Gives the receiver's part back.
    result<void> end_receiving() noexcept
    {
        return detail::done(shm_ring_end_receiving(handle_.get()));
    }

    // The length of the longest message: the capacity it was made with, rounded up to a multiple
    // of 8.
    [[nodiscard]] result<std::size_t> capacity() const noexcept
    {
        return detail::number<std::size_t>(shm_ring_capacity(handle_.get()));
    }
    // How many bytes are in use at this moment, by messages and what they need beside.
    [[nodiscard]] result<std::size_t> used() const noexcept
    {
        return detail::number<std::size_t>(shm_ring_used(handle_.get()));
    }
    // How many messages were dropped to make room, since the ring was made.
    [[nodiscard]] result<std::int64_t> dropped() const noexcept
    {
        return detail::number<std::int64_t>(shm_ring_dropped(handle_.get()));
    }
    // The id of the segment that it lies in.
    [[nodiscard]] result<int> id() const noexcept
    {
        return detail::number<int>(shm_ring_id(handle_.get()));
    }
    // Says whether that segment has been removed: a process that opens it anew gets another one.
    [[nodiscard]] result<bool> removed() const noexcept
    {
        return detail::number<bool>(shm_ring_removed(handle_.get()));
    }
    // Removes that segment. Those who have it open go on.
    result<void> remove() noexcept { return detail::done(shm_remove(shm_ring_id(handle_.get()))); }

private:
    using handle_type = detail::handle<shm_ring, shm_ring_close>;
    explicit ring(handle_type handle) noexcept : handle_(std::move(handle)) {}
    handle_type handle_;
};

} // namespace shmkey

#endif // SHMKEY_HPP
