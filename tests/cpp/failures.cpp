// A failed try in C and C++ costs no allocation, and the text that is made later is right. Prints what is wrong, nothing if all is right.
// The argument names the object.
#include <shmkey.hpp>

#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

extern "C" void *__libc_malloc(size_t size);

static thread_local unsigned long asked = 0;

// In place of the C library's, for the library and for operator new, too.
extern "C" void *malloc(size_t size)
{
    asked++;
    return __libc_malloc(size);
}

namespace {

void check(bool right, const char *what, int line)
{
    if (!right) {
        std::printf("line %d: %s (%s)\n", line, what, shm_last_error());
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

// The failure of a call that is to allocate nothing.
template <class Call> shmkey::error cheap(Call call, int number, int line)
{
    const unsigned long before = asked;
    auto tried = call();
    const shmkey::error why = std::move(tried).error();
    check(asked == before, "it allocates", line);
    check(why.number() == number, "another error", line);
    return why;
}
#define CHEAP(call, number) cheap([&] { return call; }, number, __LINE__)

bool has(const char *text, const char *part)
{
    return std::strstr(text, part) != nullptr;
}

} // namespace

int main(int, char **argv)
{
    const char *const name = argv[1];
    delete new int;
    CHECK(asked > 0);

    auto semaphore = std::optional(*shmkey::semaphore::open(name));
    shmkey::error first = CHEAP(semaphore->wait(shmkey::now), EAGAIN);
    shmkey::error copy;
    copy = first;
    CHECK(semaphore->remove().has_value());

    // C: nothing allocated, nothing formatted, and errno is left alone by asking.
    shm_ring *const ring = shm_ring_open(name, 4096, 0, SHMKEY_CREATE | 0600);
    shm_latest *const latest = shm_latest_open("unused", 8, nullptr, 0);
    CHECK(latest == nullptr && errno == ENOENT);
    char buffer[64];
    CHECK(shm_ring_begin_receiving(ring) == 0);
    const char *const sentence = shm_last_error();
    const std::string before_it = sentence;
    const unsigned long before = asked;
    for (int i = 0; i < 100; i++) {
        CHECK(shm_ring_recv(ring, buffer, sizeof(buffer), 0) == -1 && errno == EAGAIN);
        CHECK(shm_ring_recv(ring, buffer, sizeof(buffer), 1000) == -1 && errno == ETIMEDOUT);
        CHECK(shm_ring_recv(ring, buffer, sizeof(buffer), 0) == -1 && errno == EAGAIN);
    }
    CHECK(asked == before);
    CHECK(before_it == sentence); // no text was made in its place
    shm_failure kept;
    CHECK(shm_last_failure(nullptr) == 0);
    CHECK(shm_last_failure(&kept) == 1);
    shm_ring_close(ring);
    errno = 77;
    const std::string said = shm_last_error();
    CHECK(errno == 77);
    CHECK(has(said.c_str(), "ring \"") && has(said.c_str(), name));
    CHECK(has(said.c_str(), "receive: EAGAIN: there is no message"));
    CHECK(said == shm_last_error());
    CHECK(shm_last_failure(&kept) == 0); // the text is made
    char text[1024];
    shm_failure_text(&kept, text, sizeof(text));
    CHECK(said == text);
    shm_failure_text(&kept, text, 5);
    CHECK(std::strlen(text) == 4 && errno == 77);
    shm_failure_text(&kept, nullptr, 5);
    kept = {};
    shm_failure_text(&kept, text, sizeof(text));
    CHECK(has(text, "no error"));

    // Another failure has come, the object is closed, and another thread asks.
    semaphore.reset();
    CHECK(shm_remove(-1) == -1);
    std::thread([&] {
        CHECK(std::strcmp(shm_last_error(), "no error") == 0);
        CHECK(has(first.sentence(), "semaphore \"") && has(first.sentence(), name));
        CHECK(has(first.sentence(), "wait: EAGAIN: its count was 0"));
        CHECK(std::strcmp(first.sentence(), copy.sentence()) == 0);
    }).join();
    const shmkey::error moved = std::move(first);
    CHECK(has(moved.sentence(), "EAGAIN") && has(shm_last_error(), "shm"));
    return 0;
}
