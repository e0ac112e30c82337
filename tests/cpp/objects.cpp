// Every class of shmkey.hpp, used well and badly. tests/cpp.rs compiles it by each standard and each compiler. Prints what is wrong, and nothing
// if all is right. All segments are private, or named "NAME WHAT" with the argument as NAME, and removed at the end.
#include <shmkey.hpp>

#include <climits>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <sys/shm.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;

// Another file uses the header, too.
int another_file(const char *name);

namespace {

int wrong = 0;

void check(bool right, const char *what, int line)
{
    if (!right) {
        wrong = 1;
        std::printf("line %d: %s (errno %d, last error: %s)\n", line, what, errno, shm_last_error());
    }
}
#define CHECK(condition) check(static_cast<bool>(condition), #condition, __LINE__)

template <class Result> void fails(const Result &result, int number, const char *what, int line)
{
    check(!result && result.error().number() == number, what, line);
    check(result.error().code() == std::error_code(number, std::generic_category()), what, line);
    check(std::strlen(result.error().sentence()) > 10, what, line);
}
#define FAILS(call, number) fails((call), (number), #call " fails with " #number, __LINE__)

template <class T> T take(shmkey::result<T> result, const char *what, int line)
{
    if (!result) {
        std::printf("line %d: %s (%s)\n", line, what, result.error().sentence());
        std::exit(1);
    }
    return *std::move(result);
}
#define TAKE(call) take((call), #call, __LINE__)

// What a pointer points to, which must not be null.
template <class T> T &there(T *pointer)
{
    if (pointer == nullptr) {
        std::puts("a null pointer");
        std::exit(1);
    }
    return *pointer;
}

// Does something in a child. What is wrong there is wrong here.
template <class Act> void in_child(Act act)
{
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        wrong = 0;
        act();
        std::fflush(stdout);
        _exit(wrong);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

template <class T>
constexpr bool is_move_only = std::is_nothrow_move_constructible_v<T> && !std::is_copy_constructible_v<T> &&
                              !std::is_copy_assignable_v<T> && !std::is_default_constructible_v<T>;
static_assert(is_move_only<shmkey::segment> && is_move_only<shmkey::attachment>);
static_assert(is_move_only<shmkey::semaphore> && is_move_only<shmkey::ring>);
static_assert(is_move_only<shmkey::rwlock<int>> && is_move_only<shmkey::rwlock<int>::read_guard>);
static_assert(is_move_only<shmkey::condvar> && is_move_only<shmkey::rwlock<int>::write_guard>);
static_assert(is_move_only<shmkey::mutex<int>> && is_move_only<shmkey::mutex<int>::guard>);
static_assert(is_move_only<shmkey::latest<int>>);
static_assert(is_move_only<shmkey::ring::slot> && is_move_only<shmkey::ring::message>);
static_assert(is_move_only<shmkey::broadcast> && is_move_only<shmkey::broadcast::slot> && is_move_only<shmkey::broadcast::message>);
static_assert(std::is_nothrow_move_assignable_v<shmkey::ring> && std::is_nothrow_move_assignable_v<shmkey::segment>);
static_assert(!std::is_convertible_v<int, shmkey::timeout> && !std::is_constructible_v<shmkey::timeout, double>);

// Times.
constexpr std::int64_t ns(shmkey::timeout time)
{
    return time.nanoseconds();
}
static_assert(ns(shmkey::forever) == -1 && ns(shmkey::now) == 0);
static_assert(ns(0s) == 0 && ns(-1s) == 0 && ns(-1ns) == 0 && ns(1ns) == 1 && ns(1ms) == 1'000'000 && ns(24h) == 86'400'000'000'000);
static_assert(ns(0.5s) == 500'000'000 && ns(std::chrono::duration<double, std::nano>(0.25)) == 1);
static_assert(ns(std::chrono::duration<double, std::nano>(1.25)) == 2);
static_assert(ns(std::chrono::duration<int, std::ratio<1, 3>>(1)) == 333'333'334);
static_assert(ns(std::chrono::duration<unsigned char>(200)) == 200'000'000'000);
static_assert(ns(std::chrono::hours::max()) == -1 && ns(std::chrono::hours::min()) == 0);
static_assert(ns(std::chrono::nanoseconds::max()) == -1 && ns(std::chrono::nanoseconds::min()) == 0);
static_assert(ns(std::chrono::nanoseconds(std::numeric_limits<std::int64_t>::max() - 1000)) > 9'000'000'000'000'000'000);

void times()
{
    using limits = std::numeric_limits<double>;
    CHECK(ns(std::chrono::duration<double>(limits::infinity())) == -1);
    CHECK(ns(std::chrono::duration<double>(limits::quiet_NaN())) == 0);
    CHECK(ns(std::chrono::duration<double, std::nano>(limits::denorm_min())) == 1);
    CHECK(ns(std::chrono::duration<float, std::pico>(1.0F)) == 1);
}

struct pair {
    std::int64_t a, b;
};

std::string base;

std::string own(const char *what)
{
    return base + " " + what;
}

// A segment that goes with its last user, and the memory that keeps it.
std::pair<int, shmkey::attachment> private_segment(std::size_t size)
{
    auto segment = TAKE(shmkey::segment::open_private(size));
    auto memory = TAKE(segment.attach());
    CHECK(segment.remove());
    return {segment.id(), std::move(memory)};
}

void segments()
{
    FAILS(shmkey::segment::open(own("plain"), 0, shmkey::existing), ENOENT);
    FAILS(shmkey::segment::open("", 10, shmkey::create()), EINVAL);
    FAILS(shmkey::segment::open(std::string_view("a\0b", 3), 10, shmkey::create()), EINVAL);
    FAILS(shmkey::segment::open(std::string(5000, 'x'), 10, shmkey::create()), ENAMETOOLONG);
    FAILS(shmkey::segment::open_path("no such file", 1, 10, shmkey::create()), ENOENT);
    FAILS(shmkey::segment::open_path(std::string(4096, 'x'), 1, 10, shmkey::create()), ENAMETOOLONG);
    FAILS(shmkey::segment::open_path(std::string_view("a\0b", 3), 1, 10, shmkey::create()), EINVAL);
    auto by_path = TAKE(shmkey::segment::open_path("shmfile", 115, 10, shmkey::create()));
    CHECK(by_path.remove());
    FAILS(by_path.remove(), EINVAL);

    int id = 0;
    {
        auto segment = TAKE(shmkey::segment::open(own("plain"), 100, shmkey::create(0640)));
        id = segment.id();
        segment.remove_at_end();
        auto same = TAKE(shmkey::segment::open(std::string_view("...." + own("plain")).substr(4), 0, shmkey::existing));
        CHECK(same.id() == id);
        auto status = TAKE(segment.status());
        CHECK(status.size == 100 && status.nattch == 0 && status.mode == 0640);
        CHECK(TAKE(shmkey::segment::open_key_number(status.key, 0, shmkey::existing)).id() == id);
        CHECK(segment.set_mode(0600) && segment.set_owner(geteuid()) && TAKE(segment.status()).mode == 0600);
        FAILS(segment.set_mode(01000), EINVAL);
        FAILS(shmkey::segment::open_private(10, shmkey::create{0066}), EINVAL);
        auto memory = TAKE(segment.attach());
        CHECK(memory.size() == 100 && memory.prefault());
        CHECK(memory.at<char>(99) != nullptr && memory.at<char>(100) == nullptr);
        CHECK(memory.at<std::int64_t>(88) != nullptr && memory.at<std::int64_t>(96) == nullptr);
        CHECK(memory.at<std::int64_t>(4) == nullptr && memory.at<char>(static_cast<std::size_t>(-1)) == nullptr);
        there(memory.at<pair>(16)) = {1, 2};
        auto again = TAKE(same.attach(shmkey::read_only));
        CHECK(there(again.at<pair>(16)).b == 2 && again.data() != memory.data());
        void *const address = memory.data();
        shmkey::attachment moved(std::move(memory));
        CHECK(moved.data() == address && TAKE(segment.status()).nattch == 2);
        moved = std::move(again);
        CHECK(there(moved.at<pair>(16)).a == 1 && TAKE(segment.status()).nattch == 1);
        CHECK(moved.detach());
        FAILS(moved.detach(), EINVAL);
        CHECK(moved.size() == 0 && moved.at<char>() == nullptr);
        auto there = TAKE(segment.attach_at(address));
        CHECK(there.data() == address);
        FAILS(segment.attach_at(address), EINVAL);
        CHECK(TAKE(segment.attach_huge()).size() == 100);
        in_child([&] { shmkey::segment copy(std::move(segment)); }); // ends there, and removes nothing
        CHECK(segment.status());
        shmkey::segment taken(std::move(segment));
        segment = std::move(taken);
        errno = 4242;
    }
    CHECK(errno == 4242); // the ends of objects leave it alone
    FAILS(shmkey::segment::open(own("plain"), 0, shmkey::existing), ENOENT);
    FAILS(shmkey::segment::from_id(-1).attach(), EINVAL);
    FAILS(shmkey::segment::from_id(-1).status(), EINVAL);
    FAILS(shmkey::segment::from_id(-1).remove(), EINVAL);
}

// A child that has the same id as its parent, in a PID namespace of its own, is not the parent. Only root makes namespaces.
void same_ids()
{
    in_child([] {
        if (unshare(CLONE_NEWPID) != 0) {
            return;
        }
        in_child([] { // process 1
            auto segment = TAKE(shmkey::segment::open_private(10));
            segment.remove_at_end();
            if (unshare(CLONE_NEWPID) == 0) {
                in_child([&] { // process 1, too
                    shmkey::segment copy(std::move(segment)); // ends there, and removes nothing
                    CHECK(getpid() == 1);
                });
            }
            CHECK(segment.status());
            CHECK(segment.remove());
        });
    });
}

void errors()
{
    shmkey::error none;
    CHECK(none.number() == 0 && std::strcmp(none.sentence(), "no error") == 0);
    auto failed = shmkey::segment::open(own("plain"), 0, shmkey::existing);
    shmkey::error copy(failed.error()), other;
    (void) shm_remove(-1); // has another sentence
    CHECK(std::strstr(copy.sentence(), "ENOENT") != nullptr && std::strcmp(copy.sentence(), failed.error().sentence()) == 0);
    other = copy;
    copy = std::move(other);
    CHECK(copy.number() == ENOENT && copy.code() == std::errc::no_such_file_or_directory && !copy.is_timeout());
    shmkey::result<int> number(5);
    CHECK(number && number.has_value() && *number == 5 && number.error().number() == 0);
    CHECK(number.value() == 5 && number.value_or(6) == 5 && shmkey::result<int>(other).value_or(6) == 6);
    CHECK(std::as_const(number).value() == 5 && std::move(number).value() == 5);
    shmkey::result<void>().value();
#if defined(__cpp_exceptions)
    try {
        (void) failed.value();
        CHECK(false);
    } catch (const std::system_error &thrown) {
        CHECK(thrown.code() == std::errc::no_such_file_or_directory);
        const std::system_error copied(thrown);
        CHECK(std::strcmp(thrown.what(), failed.error().sentence()) == 0 && copied.code() == thrown.code());
    }
    try {
        shmkey::segment::from_id(-1).remove().value();
        CHECK(false);
    } catch (const std::system_error &thrown) {
        CHECK(thrown.code().value() == EINVAL);
    }
#endif
    CHECK(!shmkey::version().empty());
}

void semaphores()
{
    FAILS(shmkey::semaphore::open(own("semaphore"), 0, shmkey::existing), ENOENT);
    auto one = TAKE(shmkey::semaphore::open(own("semaphore"), 1));
    auto two = TAKE(shmkey::semaphore::open(own("semaphore").c_str()));
    CHECK(TAKE(one.id()) == TAKE(two.id()) && TAKE(two.value()) == 1);
    CHECK(one.wait() && one.post() && two.wait(1s));
    auto late = two.wait(shmkey::now);
    FAILS(late, EAGAIN);
    CHECK(late.error().is_timeout());
    const auto before = std::chrono::steady_clock::now();
    FAILS(two.wait(20ms), ETIMEDOUT);
    CHECK(std::chrono::steady_clock::now() - before >= 20ms);
    shmkey::semaphore moved(std::move(one));
    CHECK(moved.post());
    two = std::move(moved);
    CHECK(TAKE(two.value()) == 1);
    FAILS(moved.post(), EFAULT);
    FAILS(moved.id(), EFAULT);
    FAILS(moved.remove(), EINVAL);
    CHECK(two.remove());
    FAILS(shmkey::semaphore::open(own("semaphore"), 0, shmkey::existing), ENOENT);
    FAILS(shmkey::semaphore::open("", 0), EINVAL);
    FAILS(shmkey::semaphore::open(static_cast<const char *>(nullptr), 0), EINVAL);
    FAILS(shmkey::semaphore::open(std::string(257, 'x')), EINVAL);
    FAILS(shmkey::semaphore::open(std::string_view("a\0b", 3)), EINVAL);
    FAILS(shmkey::semaphore::open(own("semaphore"), UINT_MAX), EOVERFLOW);
    auto by_path = TAKE(shmkey::semaphore::open(shmkey::place::path("shmfile", 115), 4));
    CHECK(TAKE(by_path.value()) == 4 && by_path.remove());
    FAILS(shmkey::semaphore::open(shmkey::place::path("no such file", 115)), ENOENT);
    auto [id, memory] = private_segment(4096);
    CHECK(TAKE(TAKE(shmkey::semaphore::open(shmkey::place::in(id, 1024), 4)).value()) == 4);
    FAILS(shmkey::semaphore::open(shmkey::place::in(id, 1000)), EINVAL);
    const auto later = shmkey::place::in(id, 2048).created_within(10ms);
    FAILS(shmkey::semaphore::open(later, 0, shmkey::existing), ENOENT);
    const auto mine = shmkey::place::in(id, 1024).owned_by(geteuid());
    CHECK(shmkey::semaphore::open(mine));
    FAILS(shmkey::semaphore::open(mine.owned_by(geteuid() + 1)), EPERM);
    FAILS(shmkey::semaphore::open(shmkey::place(own("semaphore")).owned_by(geteuid() + 1)), EINVAL);
}

void reader_writer_locks()
{
    auto [id, memory] = private_segment(8192);
    auto lock = TAKE(shmkey::rwlock<pair>::open(shmkey::place::in(id, 0), shmkey::create(), "pair"));
    FAILS(shmkey::rwlock<int>::open(shmkey::place::in(id, 0)), EPROTO);
    {
        auto one = TAKE(lock.read()), two = TAKE(lock.read());
        CHECK(one->a == 0 && two->b == 0 && !one.owner_died());
        FAILS(lock.write(), EDEADLK);
        std::thread([&] {
            CHECK(TAKE(lock.read(shmkey::now))->a == 0);
            FAILS(lock.write(shmkey::now), EAGAIN);
            FAILS(lock.write(10ms), ETIMEDOUT);
            FAILS(one.unlock(), EPERM);
        }).join();
        CHECK(one.unlock());
        FAILS(one.unlock(), EFAULT);
    }
    auto writer = TAKE(lock.write());
    *writer = {1, 2};
    FAILS(lock.read(), EDEADLK);
    std::thread([&] {
        FAILS(lock.read(shmkey::now), EAGAIN);
        FAILS(writer.mark_consistent(), EPERM);
    }).join();
    in_child([&] { FAILS(writer.unlock(), EPERM); });
    CHECK(writer.unlock());
    std::thread([&] {
        using guard_type = shmkey::rwlock<pair>::write_guard;
        alignas(guard_type) static unsigned char lost[sizeof(guard_type)];
        new (lost) guard_type(TAKE(lock.write())); // which never ends, as its thread does
    }).join();
    CHECK(TAKE(lock.read()).owner_died());
    auto mended = TAKE(lock.write());
    CHECK(mended.owner_died() && mended->b == 2 && mended.mark_consistent() && mended.unlock());
    CHECK(!TAKE(lock.read()).owner_died());
}

void condition_variables()
{
    auto [id, memory] = private_segment(8192);
    auto count = TAKE(shmkey::mutex<int>::open(shmkey::place::in(id, 0)));
    auto changed = TAKE(shmkey::condvar::open(shmkey::place::in(id, 2048)));
    auto guard = TAKE(count.lock());
    FAILS(changed.wait(guard, shmkey::now), EAGAIN);
    FAILS(changed.wait(guard, 10ms), ETIMEDOUT);
    std::thread other([&] {
        FAILS(changed.wait(guard), EPERM);
        *TAKE(count.lock()) = 1;
        CHECK(changed.notify_one() && changed.notify_all());
    });
    while (*guard == 0) {
        CHECK(changed.wait(guard, 60s));
    }
    other.join();
    CHECK(!guard.owner_died() && guard.unlock());
    FAILS(changed.wait(guard), EFAULT);
    CHECK(TAKE(changed.id()) == id);
}

void mutexes()
{
    auto mutex = TAKE(shmkey::mutex<pair>::open(own("mutex"), shmkey::create(), "pair"));
    FAILS(shmkey::mutex<pair>::open(own("mutex")), EPROTO);
    FAILS(shmkey::mutex<int>::open(own("mutex"), shmkey::create(), "pair"), EPROTO);
    FAILS(shmkey::mutex<int>::open(own("mutex"), shmkey::create(), std::string_view("a\0b", 3)), EINVAL);
    FAILS(shmkey::mutex<int>::open(own("mutex"), shmkey::create(), std::string(129, 'x')), EINVAL);
    FAILS(shmkey::semaphore::open(own("mutex")), EPROTOTYPE);
    {
        auto value = TAKE(mutex.lock());
        CHECK(value->a == 0 && !value.owner_died());
        *value = {1, 2};
        FAILS(mutex.lock(), EDEADLK);
        std::thread([&] {
            FAILS(mutex.lock(shmkey::now), EAGAIN);
            FAILS(mutex.lock(10ms), ETIMEDOUT);
        }).join();
        shmkey::mutex<pair>::guard moved(std::move(value));
        CHECK(moved->b == 2 && moved.mark_consistent());
        FAILS(value.unlock(), EFAULT);
        FAILS(value.mark_consistent(), EFAULT);
    }
    auto guard = TAKE(mutex.lock(1s));
    CHECK(guard->a == 1 && guard.unlock());
    FAILS(guard.unlock(), EFAULT);
    guard = TAKE(mutex.lock());
    shmkey::mutex<pair> moved(std::move(mutex)); // while it is locked
    guard->a = 5;
    in_child([&] {
        FAILS(guard.mark_consistent(), EPERM);
        FAILS(moved.lock(10ms), ETIMEDOUT);
        errno = 4242;
        { auto ends = std::move(guard); }
        CHECK(errno == 4242);
    });
    CHECK(guard.unlock());

    for (const bool mend : {true, false}) {
        std::thread([&] {
            auto value = TAKE(moved.lock());
            value->a = 99;
            using guard_type = shmkey::mutex<pair>::guard;
            alignas(guard_type) static unsigned char lost[sizeof(guard_type)];
            new (lost) guard_type(std::move(value)); // which never ends, as its thread does
        }).join();
        auto value = TAKE(moved.lock());
        CHECK(value.owner_died() && value->a == 99);
        CHECK(!mend || value.mark_consistent());
    }
    FAILS(moved.lock(), ENOTRECOVERABLE);
    CHECK(TAKE(moved.id()) >= 0 && moved.remove());
    FAILS(mutex.lock(), EFAULT);

    auto [id, memory] = private_segment(8192);
    auto bytes = TAKE(shmkey::mutex<char[100]>::open(shmkey::place::in(id, 64)));
    std::strcpy(*TAKE(bytes.lock()), "an array");
    CHECK(std::strcmp(*TAKE(bytes.lock()), "an array") == 0);
}

void latest_values()
{
    auto one = TAKE(shmkey::latest<pair>::open(own("latest"), shmkey::create(), "pair"));
    auto two = TAKE(shmkey::latest<pair>::open(own("latest"), shmkey::existing, "pair"));
    FAILS(shmkey::latest<pair>::open(own("latest")), EPROTO);
    std::int64_t seen = 0;
    CHECK(!TAKE(two.read()) && !TAKE(two.read_newer(seen)) && TAKE(two.version()) == 0);
    FAILS(two.wait_newer(seen, shmkey::now), EAGAIN);
    FAILS(two.wait_newer(seen, 10ms), ETIMEDOUT);
    CHECK(one.publish({1, 2}));
    FAILS(two.publish({3, 4}), EBUSY);
    CHECK(TAKE(two.read())->b == 2);
    CHECK(TAKE(two.read_newer(seen))->a == 1 && seen == 1 && !TAKE(two.read_newer(seen)) && seen == 1);
    std::thread publisher([&] {
        std::this_thread::sleep_for(20ms);
        CHECK(one.publish({5, 6}));
    });
    CHECK(TAKE(two.wait_newer(seen)).a == 5 && seen == 2);
    publisher.join();
    one = std::move(two); // who published is closed
    CHECK(one.publish({7, 8}) && TAKE(one.version()) == 3);
    FAILS(two.read(), EFAULT);
    FAILS(two.publish({}), EFAULT);
    FAILS(two.read_newer(seen), EFAULT);
    CHECK(TAKE(one.id()) >= 0 && one.remove());
    auto by_path = TAKE(shmkey::latest<double>::open(shmkey::place::path("shmfile", 115)));
    CHECK(by_path.publish(1.5) && *TAKE(by_path.read()) > 1.4 && by_path.remove());
}

void sending(shmkey::ring &ring, shmkey::ring &other)
{
    char buffer[1000];
    std::string text = "something";
    CHECK(ring.send("hello") && ring.send(std::string("world"), 1s) && ring.send_bytes("abc", 2, shmkey::now) && ring.send(""));
    CHECK(TAKE(other.recv(buffer, sizeof buffer)) == 5 && std::memcmp(buffer, "hello", 5) == 0);
    CHECK(other.recv(text) && text == "world" && other.recv(text, shmkey::now) && text == "ab");
    CHECK(other.recv(text, 1s) && text.empty());
    FAILS(other.recv(text, shmkey::now), EAGAIN);
    FAILS(other.recv(text, 10ms), ETIMEDOUT);
    FAILS(other.recv(buffer, sizeof buffer, 10ms), ETIMEDOUT);
    FAILS(ring.send(std::string(1001, 'x')), EMSGSIZE);

    const std::string long_one(300, 'l');
    CHECK(TAKE(ring.send_batch({shmkey::bytes_of("one"), shmkey::bytes_of(long_one), shmkey::bytes_of("")})) == 3);
    std::size_t lengths[4];
    CHECK(TAKE(other.recv_batch(buffer, sizeof buffer, lengths, 4)) == 3 && lengths[0] == 3 && lengths[1] == 300 && lengths[2] == 0);
    const std::vector<shm_bytes> none;
    CHECK(TAKE(ring.send_batch(none.data(), none.size())) == 0);
}

void slots_and_messages(shmkey::ring &ring, shmkey::ring &other)
{
    std::string text;
    {
        auto slot = TAKE(ring.reserve(100));
        CHECK(slot.size() == 100);
        std::memcpy(slot.data(), "in place", 8);
        FAILS(ring.send("a"), EINVAL);
        FAILS(slot.commit(101), EINVAL);
        CHECK(slot.commit(8) && slot.data() == nullptr && slot.size() == 0);
        FAILS(slot.commit(), EFAULT);
        auto abandoned = TAKE(ring.reserve(50));
        auto moved(std::move(abandoned));
        FAILS(abandoned.commit(), EFAULT);
        errno = 4242;
    }
    CHECK(errno == 4242);
    CHECK(TAKE(ring.reserve(1)).abort());
    {
        auto slot = TAKE(ring.reserve(4));
        std::memcpy(slot.data(), "next", 4);
        CHECK(slot.commit());
    }
    {
        auto message = TAKE(other.peek());
        CHECK(message.text() == "in place" && message.size() == 8);
    } // not released: it stays
    {
        auto message = TAKE(other.peek(1s));
        CHECK(message.text() == "in place");
        auto moved(std::move(message));
        FAILS(message.release(), EFAULT);
        CHECK(moved.release());
        FAILS(moved.release(), EFAULT);
    }
    CHECK(other.recv(text) && text == "next");
}

void spans([[maybe_unused]] shmkey::ring &ring, [[maybe_unused]] shmkey::ring &other)
{
#if __cplusplus >= 202002L
    std::string text = "text";
    std::size_t lengths[4];
    const std::byte bytes[] = {std::byte(1), std::byte(2), std::byte(3)};
    std::byte received[10];
    CHECK(ring.send(std::span(bytes)) && ring.send(std::as_bytes(std::span(text)), 1s));
    CHECK(TAKE(other.recv(received)) == 3 && received[2] == std::byte(3));
    CHECK(TAKE(other.peek()).bytes().size() == 4);
    CHECK(TAKE(other.recv_batch(received, lengths, 1s)) == 1);
    std::vector<shm_bytes> batch{shmkey::bytes_of(bytes), shmkey::bytes_of("x")};
    CHECK(TAKE(ring.send_batch(batch)) == 2 && other.recv(text) && other.recv(text) && text == "x");
    auto slot = TAKE(ring.reserve(2));
    slot.bytes()[1] = std::byte(7);
    CHECK(slot.commit() && TAKE(other.recv(std::span(received))) == 2 && received[1] == std::byte(7));
    CHECK(private_segment(10).second.bytes().size() == 10);
#endif
}

void rings()
{
    auto ring = TAKE(shmkey::ring::open(own("ring"), 1000));
    auto other = TAKE(shmkey::ring::open(own("ring"), 0, shmkey::existing));
    FAILS(shmkey::ring::open(own("ring"), 1000, shmkey::many_senders), EPROTO);
    FAILS(shmkey::ring::open(own("ring"), 1), EINVAL);
    CHECK(TAKE(other.capacity()) == 1000 && TAKE(other.used()) == 0 && TAKE(other.dropped()) == 0);
    CHECK(TAKE(ring.id()) == TAKE(other.id()));
    CHECK(ring.begin_sending() && other.begin_receiving());
    FAILS(other.begin_sending(), EBUSY);
    FAILS(ring.begin_receiving(), EBUSY);

    sending(ring, other);
    slots_and_messages(ring, other);
    spans(ring, other);

    std::string text;
    CHECK(ring.end_sending());
    FAILS(other.recv(text), EPIPE);
    CHECK(other.end_receiving());
    shmkey::ring moved(std::move(ring));
    ring = std::move(moved);
    CHECK(ring.send("both ends by one") && ring.recv(text) && text == "both ends by one");
    FAILS(moved.send("a"), EFAULT);
    FAILS(moved.recv(text), EFAULT);
    FAILS(moved.peek(), EFAULT);
    FAILS(moved.reserve(1), EFAULT);
    FAILS(moved.capacity(), EFAULT);
    CHECK(ring.remove());
}

void rings_with_options()
{
    std::string text;
    auto [id, place_of_it] = private_segment(8192);
    auto newest = TAKE(shmkey::ring::open(shmkey::place::in(id, 64), 64, shmkey::drop_oldest));
    CHECK(newest.send("first"));
    auto old = TAKE(newest.peek());
    for (int i = 0; i < 20; i++) {
        CHECK(newest.send("later", shmkey::now));
    }
    FAILS(old.release(), ESTALE);
    CHECK(TAKE(newest.dropped()) > 0 && newest.recv(text) && text == "later");
    auto crowd = TAKE(shmkey::ring::open(shmkey::place::in(id, 4096), 256, shmkey::many_senders));
    auto another = TAKE(shmkey::ring::open(shmkey::place::in(id, 4096), 0, shmkey::existing));
    CHECK(crowd.send("one") && another.send("two") && crowd.recv(text) && crowd.recv(text) && text == "two");
}

// A read-only reader cannot write, and creates nothing; a process that has an object open can ask whether it was removed.
void broadcasts()
{
    auto news = TAKE(shmkey::broadcast::open(own("broadcast"), 1000));
    auto other = TAKE(shmkey::broadcast::open(own("broadcast"), 0, shmkey::existing));
    FAILS(shmkey::broadcast::open(own("broadcast"), 1000, shmkey::lossy), EPROTO);
    FAILS(shmkey::broadcast::open(own("broadcast"), 1000, shmkey::read_only), EACCES);
    FAILS(shmkey::broadcast::open(own("broadcast"), 1), EINVAL);
    CHECK(TAKE(other.capacity()) == 1000 && TAKE(other.used()) == 0 && TAKE(other.subscribers()) == 0);
    CHECK(TAKE(news.id()) == TAKE(other.id()));
    CHECK(news.begin_publishing() && news.subscribe() && other.subscribe(shmkey::start::oldest));
    FAILS(other.begin_publishing(), EBUSY);
    CHECK(TAKE(news.subscribers()) == 2);

    char buffer[1000];
    std::string text = "something";
    CHECK(news.publish("hello") && news.publish(std::string("world"), 1s) && news.publish_bytes("abc", 2, shmkey::now));
    for (auto *const end : {&news, &other}) {
        CHECK(TAKE(end->recv(buffer, sizeof buffer)) == 5 && std::memcmp(buffer, "hello", 5) == 0);
        CHECK(end->recv(text) && text == "world" && end->recv(text, shmkey::now) && text == "ab");
        FAILS(end->recv(text, shmkey::now), EAGAIN);
        FAILS(end->recv(buffer, sizeof buffer, 10ms), ETIMEDOUT);
        CHECK(TAKE(end->missed()) == 0);
    }
    FAILS(news.publish(std::string(1009, 'x')), EMSGSIZE);
    CHECK(news.unsubscribe());
    FAILS(news.recv(text), EPERM);
    FAILS(news.missed(), EPERM);

    const std::string long_one(300, 'l');
    CHECK(TAKE(news.publish_batch({shmkey::bytes_of("one"), shmkey::bytes_of(long_one)})) == 2);
    std::size_t lengths[4];
    CHECK(TAKE(other.recv_batch(buffer, sizeof buffer, lengths, 4)) == 2 && lengths[0] == 3 && lengths[1] == 300);
    {
        auto slot = TAKE(news.reserve(100));
        CHECK(slot.size() == 100);
        FAILS(news.publish("a"), EINVAL);
        std::memset(slot.data(), 's', 100);
        FAILS(slot.commit(101), EINVAL);
        CHECK(slot.commit(50));
        FAILS(slot.commit(), EFAULT);
        auto abandoned = TAKE(news.reserve(50));
    }
    CHECK(TAKE(news.reserve(1)).abort());
    {
        auto message = TAKE(other.peek());
        CHECK(message.size() == 50 && message.text() == std::string(50, 's'));
        auto again = TAKE(other.peek());
        FAILS(message.release(), EPERM);
        CHECK(again.release());
        FAILS(again.release(), EFAULT);
    }
#if __cplusplus >= 202002L
    const std::byte bytes[] = {std::byte{1}, std::byte{2}};
    const shm_bytes batch[] = {shmkey::bytes_of(std::span(bytes)), shmkey::bytes_of("x")};
    CHECK(news.publish(std::span(bytes)) && TAKE(news.publish_batch(batch)) == 2);
    CHECK(other.recv(text) && text.size() == 2 && other.recv(text) && other.recv(text) && text == "x");
#endif
    CHECK(news.end_publishing());
    FAILS(other.recv(text), EPIPE);
    shmkey::broadcast moved(std::move(news));
    news = std::move(moved);
    CHECK(news.publish("moved") && other.recv(text) && text == "moved");
    FAILS(moved.publish("nothing"), EFAULT);
    CHECK(!TAKE(news.removed()) && news.remove() && TAKE(other.removed()));

    auto quick = TAKE(shmkey::broadcast::open(own("broadcast"), 640, shmkey::lossy));
    auto slow = TAKE(shmkey::broadcast::open(own("broadcast"), 640, shmkey::lossy, shmkey::read_only));
    CHECK(slow.subscribe());
    for (int i = 0; i < 100; i++) {
        CHECK(quick.publish_bytes(&i, sizeof i, shmkey::now));
    }
    int first = -1;
    CHECK(TAKE(slow.recv(&first, sizeof first)) == sizeof first && first > 0 && TAKE(slow.missed()) == first);
    FAILS(slow.publish("a"), EACCES);
    CHECK(quick.remove());
}

bool readable(int fd)
{
    pollfd one{fd, POLLIN, 0};
    return poll(&one, 1, 0) == 1;
}

// Each kind, by its descriptor and with the others.
void waiting()
{
    shmkey::semaphore semaphore = TAKE(shmkey::semaphore::open(own("semaphore")));
    shmkey::ring ring = TAKE(shmkey::ring::open(own("ring"), 4096));
    shmkey::broadcast broadcast = TAKE(shmkey::broadcast::open(own("broadcast"), 4096));
    shmkey::latest<int> latest = TAKE(shmkey::latest<int>::open(own("latest")));
    std::int64_t seen = 0;
    char buffer[8];

    FAILS(broadcast.fd(), EPERM);
    CHECK(broadcast.subscribe());
    const int count = TAKE(semaphore.fd()), message = TAKE(ring.fd()), news = TAKE(broadcast.fd()), value = TAKE(latest.fd());
    const auto wait = [&](shmkey::timeout time) {
        return shmkey::wait_any({semaphore, ring, broadcast, {latest, seen}}, time);
    };
    bool quiet = false;
    for (int i = 0; i < 20 && !quiet; i++) { // timers may make them readable again
        FAILS(semaphore.wait(0s), EAGAIN);
        FAILS(ring.recv(buffer, sizeof buffer, 0s), EAGAIN);
        FAILS(broadcast.recv(buffer, sizeof buffer, 0s), EAGAIN);
        CHECK(!TAKE(latest.read_newer(seen)));
        quiet = !readable(count) && !readable(message) && !readable(news) && !readable(value);
    }
    CHECK(quiet);
    FAILS(wait(0s), EAGAIN);
    FAILS(wait(1ms), ETIMEDOUT);

    CHECK(semaphore.post() && readable(count) && TAKE(wait(1min)) == 0 && semaphore.wait(0s));
    CHECK(ring.send("one") && readable(message) && TAKE(wait(1min)) == 1 && ring.recv(buffer, sizeof buffer, 0s));
    CHECK(broadcast.publish("one") && readable(news) && TAKE(wait(1min)) == 2 && broadcast.recv(buffer, sizeof buffer, 0s));
    CHECK(latest.publish(7) && readable(value) && TAKE(wait(1min)) == 3 && TAKE(latest.read_newer(seen)) == 7);
    std::vector<shmkey::waitable> all(129, shmkey::waitable(semaphore));
    FAILS(shmkey::wait_any(all.data(), 128, 0s), EAGAIN);
    FAILS(shmkey::wait_any(all.data(), 129, 0s), EINVAL);
    FAILS(shmkey::wait_any(nullptr, 1, 0s), EFAULT);
    CHECK(semaphore.remove() && ring.remove() && broadcast.remove() && latest.remove());
}

void read_only_and_removed()
{
    FAILS(shmkey::latest<int>::open(own("latest"), shmkey::read_only), ENOENT);
    auto writer = TAKE(shmkey::latest<int>::open(own("latest")));
    auto reader = TAKE(shmkey::latest<int>::open(own("latest"), shmkey::read_only));
    CHECK(writer.publish(42) && TAKE(reader.read()) == 42);
    FAILS(reader.publish(43), EACCES);
    auto [id, memory] = private_segment(8192);
    auto in = TAKE(shmkey::latest<int>::open(shmkey::place::in(id, 0)));
    FAILS(TAKE(shmkey::latest<int>::open(shmkey::place::in(id, 0), shmkey::read_only)).publish(1), EACCES);

    auto mutex = TAKE(shmkey::mutex<int>::open(own("mutex")));
    auto semaphore = TAKE(shmkey::semaphore::open(own("semaphore")));
    auto ring = TAKE(shmkey::ring::open(own("ring"), 64));
    CHECK(!TAKE(writer.removed()) && !TAKE(reader.removed()) && !TAKE(mutex.removed()));
    CHECK(!TAKE(semaphore.removed()) && !TAKE(ring.removed()) && TAKE(in.removed()));
    CHECK(writer.remove() && mutex.remove() && semaphore.remove() && ring.remove());
    CHECK(TAKE(writer.removed()) && TAKE(reader.removed()) && TAKE(mutex.removed()));
    CHECK(TAKE(semaphore.removed()) && TAKE(ring.removed()));
    auto moved(std::move(mutex));
    FAILS(mutex.removed(), EFAULT);
    CHECK(TAKE(moved.removed()));
}

// Handles of what is no longer held act on nothing.
void stale_handles()
{
    auto [id, memory] = private_segment(8192);
    auto ring = TAKE(shmkey::ring::open(shmkey::place::in(id, 0), 256));
    std::string text;

    CHECK(ring.send("first") && ring.send("second") && ring.send("third"));
    {
        auto first = TAKE(ring.peek(shmkey::now));
        CHECK(ring.recv(text, shmkey::now) && text == "first");
        auto second = TAKE(ring.peek(shmkey::now));
        FAILS(first.release(), EPERM);
        auto again = TAKE(ring.peek(shmkey::now));
        FAILS(second.release(), EPERM); // looked at again
        CHECK(again.text() == "second" && again.release());
        auto third = TAKE(ring.peek(shmkey::now));
        CHECK(ring.end_receiving());
        auto once_more = TAKE(ring.peek(shmkey::now));
        FAILS(third.release(), EPERM);
        CHECK(once_more.text() == "third" && once_more.release());
    }

    for (const bool late : {false, true}) {
        std::optional<shmkey::ring::slot> old(TAKE(ring.reserve(8)));
        CHECK(ring.end_sending()); // gives it up
        auto slot = TAKE(ring.reserve(8));
        CHECK(slot.data() == old->data()); // the same place
        std::memcpy(slot.data(), "a slot!!", 8);
        if (late) {
            FAILS(old->commit(), EPERM);
            FAILS(old->abort(), EPERM);
        }
        old.reset();
        CHECK(slot.commit() && ring.recv(text, shmkey::now) && text == "a slot!!");
    }
}

// A guard whose thread has ended, while another thread has the lock.
void stale_guards()
{
    auto [id, memory] = private_segment(4096);
    auto mutex = TAKE(shmkey::mutex<int>::open(shmkey::place::in(id, 0)));
    std::optional<shmkey::mutex<int>::guard> left;

    std::thread([&left, &mutex] { left.emplace(TAKE(mutex.lock())); }).join();
    FAILS(left->unlock(), EPERM);
    std::thread([&left, &mutex] {
        auto locked = TAKE(mutex.lock(60s));
        CHECK(locked.owner_died() && locked.mark_consistent());
        left.emplace(std::move(locked));
    }).join();
    {
        auto guard = TAKE(mutex.lock(60s));
        CHECK(guard.owner_died());
        FAILS(left->mark_consistent(), EPERM);
        CHECK(guard.mark_consistent());
        left.reset();
        std::thread([&mutex] { FAILS(mutex.lock(shmkey::now), EAGAIN); }).join();
        CHECK(guard.unlock());
    }
    auto guard = TAKE(mutex.lock());
    auto moved(std::move(guard));
    FAILS(guard.unlock(), EFAULT);
    FAILS(guard.mark_consistent(), EFAULT);
    *moved = 5;
    CHECK(*moved == 5 && moved.unlock());
    FAILS(moved.unlock(), EFAULT);
}

void cancelled()
{
    auto semaphore = TAKE(shmkey::semaphore::open(own("semaphore")));
    auto ring = TAKE(shmkey::ring::open(own("ring"), 4096));
    const shmkey::canceller stop = TAKE(semaphore.canceller());
    const shmkey::canceller stop_ring = TAKE(ring.canceller());
    std::thread([stop] { stop.cancel(); }).join();
    FAILS(semaphore.wait(), ECANCELED);
    std::thread later([stop_ring] { stop_ring.cancel(); });
    std::string text;
    CHECK(ring.recv(text).error().is_interrupt());
    later.join();
    auto [id, memory] = private_segment(8192);
    auto lock = TAKE(shmkey::rwlock<pair>::open(shmkey::place::in(id, 0)));
    {
        auto writer = TAKE(lock.write());
        const shmkey::canceller stop_lock = TAKE(lock.canceller());
        std::thread([&] {
            stop_lock.cancel();
            FAILS(lock.read(), ECANCELED);
            stop_lock.cancel();
            FAILS(lock.write(), ECANCELED);
        }).join();
    }
    CHECK(lock.set_interruptible(true));
    auto count = TAKE(shmkey::mutex<int>::open(shmkey::place::in(id, 6144)));
    auto changed = TAKE(shmkey::condvar::open(shmkey::place::in(id, 7168 - 64)));
    {
        auto guard = TAKE(count.lock());
        const shmkey::canceller stop_waiting = TAKE(changed.canceller());
        std::thread another([stop_waiting] { stop_waiting.cancel(); });
        FAILS(changed.wait(guard), ECANCELED);
        another.join();
        *guard = 3;
        CHECK(guard.unlock());
    }
    CHECK(changed.set_interruptible(true));
    shmkey::canceller().cancel();
    CHECK(semaphore.set_interruptible(true) && ring.set_keep_waiting(true));
    CHECK(semaphore.remove() && ring.remove());
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2) {
        return 2;
    }
    base = arguments[1];
    times();
    segments();
    same_ids();
    errors();
    semaphores();
    mutexes();
    reader_writer_locks();
    condition_variables();
    latest_values();
    rings();
    broadcasts();
    rings_with_options();
    waiting();
    read_only_and_removed();
    stale_handles();
    stale_guards();
    cancelled();
    CHECK(another_file(arguments[1]) == 1);
    return wrong;
}
