// One end of an object in C++, for tests/interop: the roles of tests/c/peer.c, by the same names.
#include <shmkey.hpp>

#include <unistd.h>

#include "../c/peer.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;
using shmkey::error;

namespace {

constexpr shmkey::timeout ages = 50s;
constexpr std::size_t capacity = 200000; // room for all that a process sends here before a process receives

std::string name;
std::uint64_t seed, count, number;

[[noreturn]] void wrong(const char *what, int line, const char *why)
{
    std::printf("peer.cpp:%d: %s (%s)\n", line, what, why);
    std::exit(1);
}
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            wrong(#condition, __LINE__, shm_last_error());                                                             \
        }                                                                                                              \
    } while (0)

template <class Result> void fails(const Result &result, int expected, int line)
{
    if (result || result.error().number() != expected) {
        wrong("it should fail", line, result.error().sentence());
    }
}
#define FAILS(call, expected) fails((call), (expected), __LINE__)

// What is in a result that is to be true.
template <class T> T take(shmkey::result<T> result, int line)
{
    if (!result) {
        wrong("it should work", line, result.error().sentence());
    }
    return *std::move(result);
}
#define TAKE(call) take((call), __LINE__)

void ready()
{
    std::puts("ready");
    std::fflush(stdout);
}

[[noreturn]] void wait_for_death()
{
    ready();
    for (;;) {
        pause();
    }
}

std::string own(const char *what)
{
    return name + " " + what;
}

using value_mutex = shmkey::mutex<peer_value>;
using value_latest = shmkey::latest<peer_value>;

value_mutex open_mutex()
{
    return TAKE(value_mutex::open(name, shmkey::create(), "a value"));
}

void mutex_count(value_mutex mutex)
{
    for (std::uint64_t i = 0; i < count; i++) {
        auto value = TAKE(mutex.lock(ages));
        EXPECT(!value.owner_died());
        EXPECT(value->words[0] == 0 || peer_is_whole(seed, &*value));
        *value = peer_value_of(seed, value->words[0] + 1);
    }
}

void mutex_victim()
{
    auto mutex = open_mutex();
    auto value = TAKE(mutex.lock(ages));
    value->words[0] += 1;
    value->words[7] = 7;
    wait_for_death();
}

void mutex_survivor()
{
    auto mutex = open_mutex();
    {
        auto value = TAKE(mutex.lock(ages));
        EXPECT(value.owner_died() && !peer_is_whole(seed, &*value));
        *value = peer_value_of(seed, 0);
        EXPECT(value.mark_consistent());
    }
    mutex_count(std::move(mutex));
}

using value_lock = shmkey::rwlock<peer_value>;

value_lock open_lock()
{
    return TAKE(value_lock::open(name, shmkey::create(), "a value"));
}

void lock_count(value_lock lock)
{
    for (std::uint64_t i = 0; i < count; i++) {
        {
            auto value = TAKE(lock.read(ages));
            EXPECT(!value.owner_died() && (value->words[0] == 0 || peer_is_whole(seed, &*value)));
        }
        auto value = TAKE(lock.write(ages));
        EXPECT(!value.owner_died());
        *value = peer_value_of(seed, value->words[0] + 1);
    }
}

void lock_writer_victim()
{
    auto lock = open_lock();
    auto value = TAKE(lock.write(ages));
    value->words[0] += 1;
    value->words[7] = 7;
    wait_for_death();
}

void lock_reader_victim()
{
    auto lock = open_lock();
    auto value = TAKE(lock.read(ages));
    wait_for_death();
}

void lock_survivor()
{
    auto lock = open_lock();
    EXPECT(TAKE(lock.read(ages)).owner_died());
    {
        auto value = TAKE(lock.write(ages));
        EXPECT(value.owner_died() && !peer_is_whole(seed, &*value));
        *value = peer_value_of(seed, 0);
        EXPECT(value.mark_consistent());
    }
    lock_count(std::move(lock));
}

void turns()
{
    auto mutex = open_mutex();
    auto changed = TAKE(shmkey::condvar::open(own("ping")));
    for (std::uint64_t i = 0; i < count; i++) {
        auto value = TAKE(mutex.lock(ages));
        while (value->words[0] % 2 != number) {
            EXPECT(changed.wait(value, ages) && !value.owner_died());
        }
        EXPECT(value->words[0] == 0 || peer_is_whole(seed, &*value));
        *value = peer_value_of(seed, value->words[0] + 1);
        EXPECT(value.unlock() && changed.notify_one());
    }
}

void turns_victim()
{
    auto mutex = open_mutex();
    auto changed = TAKE(shmkey::condvar::open(own("ping")));
    auto value = TAKE(mutex.lock(ages));
    ready();
    for (;;) {
        EXPECT(changed.wait(value));
    }
}

// The dead process may have died with the mutex.
void turns_survivor()
{
    auto mutex = open_mutex();
    auto changed = TAKE(shmkey::condvar::open(own("ping")));
    for (std::uint64_t i = 0; i < count && i < 20; i++) {
        auto value = TAKE(mutex.lock(ages));
        EXPECT(value.mark_consistent() && changed.notify_one() && changed.notify_all());
        FAILS(changed.wait(value, 1ms), ETIMEDOUT);
    }
}

void semaphore_ping_pong(bool first)
{
    auto ping = TAKE(shmkey::semaphore::open(own("ping"))), pong = TAKE(shmkey::semaphore::open(own("pong")));
    auto segment = TAKE(shmkey::segment::open(own("plain"), 8, shmkey::create()));
    auto memory = TAKE(segment.attach());
    auto *plain = memory.at<std::uint64_t>();
    EXPECT(plain != nullptr && memory.size() == 8);
    for (std::uint64_t i = 0; i < count; i++) {
        if (first) {
            *plain = peer_mix(seed, i);
            EXPECT(ping.post() && pong.wait(ages));
            EXPECT(*plain == peer_mix(seed + 1, i));
        } else {
            EXPECT(ping.wait(ages));
            EXPECT(*plain == peer_mix(seed, i));
            *plain = peer_mix(seed + 1, i);
            EXPECT(pong.post());
        }
    }
    EXPECT(memory.detach());
}

void semaphore_share()
{
    auto tokens = TAKE(shmkey::semaphore::open(name, 3));
    for (std::uint64_t i = 0; i < count; i++) {
        EXPECT(tokens.wait(ages));
        EXPECT(TAKE(tokens.value()) <= 2);
        EXPECT(tokens.post());
    }
}

void semaphore_victim()
{
    auto tokens = TAKE(shmkey::semaphore::open(name, 3)), never = TAKE(shmkey::semaphore::open(own("ping")));
    EXPECT(tokens.wait(ages));
    ready();
    (void) never.wait();
}

void semaphore_survivor()
{
    auto tokens = TAKE(shmkey::semaphore::open(name, 3)), never = TAKE(shmkey::semaphore::open(own("ping")));
    EXPECT(TAKE(tokens.value()) == 2);
    EXPECT(tokens.wait(ages) && tokens.wait(ages));
    FAILS(tokens.wait(20ms), ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        EXPECT(tokens.post());
    }
    EXPECT(never.post() && never.wait(ages));
    semaphore_share();
}

value_latest open_latest()
{
    return TAKE(value_latest::open(name, shmkey::create(), "a value"));
}

void latest_publish(value_latest &latest, std::uint64_t first, std::uint64_t last)
{
    for (std::uint64_t i = first; i <= last; i++) {
        EXPECT(latest.publish(peer_value_of(seed, i)));
        if (i % 16 == 0) {
            usleep(100);
        }
    }
}

void latest_read()
{
    auto latest = open_latest();
    std::int64_t seen = 0, before = 0;
    while (seen < static_cast<std::int64_t>(count)) {
        const auto value = TAKE(latest.wait_newer(seen, ages));
        EXPECT(seen > before && value.words[0] == static_cast<std::uint64_t>(seen) && peer_is_whole(seed, &value));
        before = seen;
    }
}

void latest_publisher_victim()
{
    auto latest = open_latest();
    latest_publish(latest, 1, count);
    ready();
    for (std::uint64_t i = count + 1;; i++) {
        latest_publish(latest, i, i);
    }
}

void latest_reader_survivor()
{
    auto latest = open_latest();
    const auto value = TAKE(latest.read());
    EXPECT(value && value->words[0] >= count && peer_is_whole(seed, &*value));
    latest_publish(latest, value->words[0] + 1, value->words[0] + count);
    EXPECT(TAKE(latest.version()) == static_cast<std::int64_t>(value->words[0] + count));
}

void latest_reader_victim()
{
    auto latest = open_latest();
    std::int64_t seen = 0;
    ready();
    for (;;) {
        const auto value = TAKE(latest.wait_newer(seen));
        EXPECT(peer_is_whole(seed, &value));
    }
}

shmkey::ring open_ring(shmkey::ring_options options)
{
    return TAKE(shmkey::ring::open(name, capacity, options));
}

void ring_send(shmkey::ring &ring, std::uint64_t first, std::uint64_t last)
{
    std::vector<unsigned char> room(2 * PEER_LONGEST + 1);
    unsigned char *const message = room.data() + 1;
    for (std::uint64_t i = first; i < last; i++) {
        const std::size_t size = peer_message(seed, number, i, message);
        const std::string_view text(static_cast<const char *>(static_cast<const void *>(message)), size);
        if (i % 3 == 0) {
            EXPECT(ring.send(text, ages));
        } else if (i % 3 == 1) {
            auto slot = TAKE(ring.reserve(PEER_LONGEST, ages));
            std::memcpy(slot.data(), message, size);
            EXPECT(slot.commit(size));
        } else {
            EXPECT(TAKE(ring.send_batch({shmkey::bytes_of(text)}, ages)) == 1);
        }
    }
}

std::uint64_t next_of[64];

void expect_message(const void *message, std::size_t size)
{
    static unsigned char whole[PEER_LONGEST];
    std::uint64_t sender = 0;
    EXPECT(size >= 16);
    std::memcpy(&sender, message, 8);
    EXPECT(sender < 64 && peer_message(seed, sender, next_of[sender], whole) == size);
    EXPECT(std::memcmp(whole, message, size) == 0);
    next_of[sender]++;
}

// Whether other senders will come when all senders have ended.
bool others_come = false;

void wait_for_one(shmkey::ring &ring)
{
    while (others_come) {
        const auto found = ring.peek(ages);
        if (found) {
            break;
        }
        FAILS(found, EPIPE);
        usleep(1000);
    }
}

void ring_receive(shmkey::ring &ring, std::uint64_t messages)
{
    std::vector<char> room(capacity + 1);
    char *const buffer = room.data() + 1;
    std::string text;
    for (std::uint64_t i = 0; i < messages;) {
        wait_for_one(ring);
        if (i % 4 == 0) {
            expect_message(buffer, TAKE(ring.recv(buffer, capacity, ages)));
            i++;
        } else if (i % 4 == 1) {
            auto message = TAKE(ring.peek(ages));
            expect_message(message.data(), message.size());
            EXPECT(message.release());
            i++;
        } else if (i % 4 == 2) {
            EXPECT(ring.recv(text, ages));
            expect_message(text.data(), text.size());
            i++;
        } else {
            std::size_t lengths[5], at = 0;
            const std::size_t left = messages - i < 5 ? messages - i : 5;
            const std::size_t received = TAKE(ring.recv_batch(buffer, capacity, lengths, left, ages));
            EXPECT(received > 0);
            for (std::size_t m = 0; m < received; m++) {
                expect_message(buffer + at, lengths[m]);
                at += lengths[m];
            }
            i += received;
        }
    }
}

void ring_sender(shmkey::ring_options options)
{
    auto ring = open_ring(options);
    ring_send(ring, 0, count);
}

void ring_receiver(shmkey::ring_options options)
{
    auto ring = open_ring(options);
    others_come = options != shmkey::ring_options::none;
    ring_receive(ring, count);
    if (options == shmkey::ring_options::none) {
        FAILS(ring.peek(ages), EPIPE);
    }
}

void ring_sender_victim(shmkey::ring_options options)
{
    auto ring = open_ring(options);
    number = 1;
    ring_send(ring, 0, 10);
    auto slot = TAKE(ring.reserve(100, ages));
    wait_for_death();
}

void ring_receiver_survivor()
{
    auto ring = open_ring(shmkey::ring_options::none);
    ring_receive(ring, 10);
    FAILS(ring.peek(ages), EOWNERDEAD);
    ring_send(ring, 0, 5);
    ring_receive(ring, 5);
}

void ring_receiver_victim()
{
    auto ring = open_ring(shmkey::ring_options::none);
    ring_receive(ring, 1);
    EXPECT(TAKE(ring.peek(ages)).size() >= 16);
    wait_for_death();
}

void ring_sender_survivor()
{
    auto ring = open_ring(shmkey::ring_options::none);
    std::vector<unsigned char> room(PEER_LONGEST);
    std::uint64_t sent = 0;
    for (;; sent++) {
        const auto done = ring.send_bytes(room.data(), peer_message(seed, number, sent, room.data()), ages);
        if (!done) {
            FAILS(done, EOWNERDEAD);
            break;
        }
    }
    next_of[number] = 1;
    ring_receive(ring, sent - 1);
    ring_send(ring, sent, sent + 5);
    ring_receive(ring, 5);
}

void many_survivor()
{
    auto ring = open_ring(shmkey::many_senders);
    for (std::uint64_t i = 0; i < count; i++) {
        ring_send(ring, i, i + 1);
        ring_receive(ring, i == 0 ? 11 : 1);
    }
}

shmkey::broadcast open_broadcast()
{
    return TAKE(shmkey::broadcast::open(name, capacity));
}

void wait_for_subscribers(const shmkey::broadcast &broadcast, std::uint64_t subscribers)
{
    while (static_cast<std::uint64_t>(TAKE(broadcast.subscribers())) < subscribers) {
        usleep(1000);
    }
}

void broadcast_publish(shmkey::broadcast &broadcast, std::uint64_t first, std::uint64_t last)
{
    std::vector<unsigned char> room(PEER_LONGEST + 1);
    unsigned char *const message = room.data() + 1;
    for (std::uint64_t i = first; i < last; i++) {
        const std::size_t size = peer_message(seed, 0, i, message);
        const std::string_view text(static_cast<const char *>(static_cast<const void *>(message)), size);
        if (i % 3 == 0) {
            EXPECT(broadcast.publish(text, ages));
        } else if (i % 3 == 1) {
            auto slot = TAKE(broadcast.reserve(PEER_LONGEST, ages));
            std::memcpy(slot.data(), message, size);
            EXPECT(slot.commit(size));
        } else {
            EXPECT(TAKE(broadcast.publish_batch({shmkey::bytes_of(text)}, ages)) == 1);
        }
    }
}

void broadcast_receive(shmkey::broadcast &broadcast, std::uint64_t first, std::uint64_t last)
{
    std::vector<char> room(PEER_LONGEST + 1);
    char *const buffer = room.data() + 1;
    std::string text;
    next_of[0] = first;
    for (std::uint64_t i = first; i < last; i++) {
        if (i % 4 == 0) {
            expect_message(buffer, TAKE(broadcast.recv(buffer, PEER_LONGEST, ages)));
        } else if (i % 4 == 1) {
            auto message = TAKE(broadcast.peek(ages));
            expect_message(message.data(), message.size());
            EXPECT(message.release());
        } else if (i % 4 == 2) {
            EXPECT(broadcast.recv(text, ages));
            expect_message(text.data(), text.size());
        } else {
            std::size_t length = 0;
            EXPECT(TAKE(broadcast.recv_batch(buffer, PEER_LONGEST, &length, 1, ages)) == 1);
            expect_message(buffer, length);
        }
    }
}

void broadcast_publisher()
{
    auto broadcast = open_broadcast();
    EXPECT(broadcast.begin_publishing());
    wait_for_subscribers(broadcast, number);
    broadcast_publish(broadcast, 0, count);
}

void broadcast_subscriber()
{
    auto broadcast = open_broadcast();
    EXPECT(broadcast.subscribe());
    broadcast_receive(broadcast, 0, count);
    FAILS(broadcast.peek(ages), EPIPE);
}

void broadcast_publisher_victim()
{
    auto broadcast = open_broadcast();
    broadcast_publish(broadcast, 0, 10);
    auto slot = TAKE(broadcast.reserve(100, ages));
    wait_for_death();
}

void broadcast_subscriber_survivor()
{
    auto broadcast = open_broadcast();
    EXPECT(broadcast.subscribe(shmkey::start::oldest));
    broadcast_receive(broadcast, 0, 10);
    FAILS(broadcast.peek(ages), EOWNERDEAD);
    broadcast_publish(broadcast, 10, 15);
    broadcast_receive(broadcast, 10, 15);
}

void broadcast_subscriber_victim()
{
    auto broadcast = open_broadcast();
    EXPECT(broadcast.subscribe());
    broadcast_receive(broadcast, 0, 1);
    EXPECT(TAKE(broadcast.peek(ages)).size() >= 16);
    wait_for_death();
}

void broadcast_publisher_survivor()
{
    auto broadcast = open_broadcast();
    wait_for_subscribers(broadcast, 1);
    broadcast_publish(broadcast, 0, 2000);
    EXPECT(TAKE(broadcast.subscribers()) == 0);
}

void latest_publish_all()
{
    auto latest = open_latest();
    latest_publish(latest, 1, count);
}

struct role {
    std::string_view name;
    void (*act)();
};

constexpr role roles[] = {
    {"mutex count", [] { mutex_count(open_mutex()); }},
    {"mutex victim", mutex_victim},
    {"mutex survivor", mutex_survivor},
    {"lock count", [] { lock_count(open_lock()); }},
    {"lock writer victim", lock_writer_victim},
    {"lock reader victim", lock_reader_victim},
    {"lock survivor", lock_survivor},
    {"turns", turns},
    {"turns victim", turns_victim},
    {"turns survivor", turns_survivor},
    {"semaphore first", [] { semaphore_ping_pong(true); }},
    {"semaphore second", [] { semaphore_ping_pong(false); }},
    {"semaphore share", semaphore_share},
    {"semaphore victim", semaphore_victim},
    {"semaphore survivor", semaphore_survivor},
    {"latest publish", latest_publish_all},
    {"latest read", latest_read},
    {"latest publisher victim", latest_publisher_victim},
    {"latest reader survivor", latest_reader_survivor},
    {"latest reader victim", latest_reader_victim},
    {"ring send", [] { ring_sender(shmkey::ring_options::none); }},
    {"ring receive", [] { ring_receiver(shmkey::ring_options::none); }},
    {"ring sender victim", [] { ring_sender_victim(shmkey::ring_options::none); }},
    {"ring receiver survivor", ring_receiver_survivor},
    {"ring receiver victim", ring_receiver_victim},
    {"ring sender survivor", ring_sender_survivor},
    {"many send", [] { ring_sender(shmkey::many_senders); }},
    {"many receive", [] { ring_receiver(shmkey::many_senders); }},
    {"many victim", [] { ring_sender_victim(shmkey::many_senders); }},
    {"many survivor", many_survivor},
    {"broadcast publish", broadcast_publisher},
    {"broadcast receive", broadcast_subscriber},
    {"broadcast publisher victim", broadcast_publisher_victim},
    {"broadcast subscriber survivor", broadcast_subscriber_survivor},
    {"broadcast subscriber victim", broadcast_subscriber_victim},
    {"broadcast publisher survivor", broadcast_publisher_survivor},
};

} // namespace

int main(int arguments, char **argument)
{
    if (arguments != 6) {
        return 2;
    }
    name = argument[2];
    seed = std::strtoull(argument[3], nullptr, 10);
    count = std::strtoull(argument[4], nullptr, 10);
    number = std::strtoull(argument[5], nullptr, 10);
    for (const role &one : roles) {
        if (one.name == argument[1]) {
            one.act();
            return 0;
        }
    }
    std::printf("there is no role %s\n", argument[1]);
    return 2;
}
