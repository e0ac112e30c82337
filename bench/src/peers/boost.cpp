// Boost.Interprocess' message_queue, behind C functions.

#include <boost/interprocess/ipc/message_queue.hpp>

using boost::interprocess::create_only;
using boost::interprocess::message_queue;

extern "C" {

// Makes a queue without a name. Returns null on failure.
void *shmkey_bench_boost_new(const char *name, size_t messages, size_t size) noexcept
{
    try {
        message_queue::remove(name);
        auto *queue = new message_queue(create_only, name, messages, size);
        message_queue::remove(name);
        return queue;
    } catch (...) {
        return nullptr;
    }
}

void shmkey_bench_boost_free(void *queue) noexcept
{
    delete static_cast<message_queue *>(queue);
}

// Waits by sleeping, or by trying again and again.
void shmkey_bench_boost_send(void *queue, const void *message, size_t size, bool sleeps) noexcept
{
    auto *to = static_cast<message_queue *>(queue);
    if (sleeps)
        to->send(message, size, 0);
    else
        while (!to->try_send(message, size, 0))
            ;
}

void shmkey_bench_boost_receive(void *queue, void *message, size_t room, bool sleeps) noexcept
{
    auto *from = static_cast<message_queue *>(queue);
    message_queue::size_type size;
    unsigned priority;
    if (sleeps)
        from->receive(message, room, size, priority);
    else
        while (!from->try_receive(message, room, size, priority))
            ;
}

} // extern "C"
