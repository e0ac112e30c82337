// A ring in a private segment, which goes when this program ends.
#include <shmkey.hpp>

#include <cstdio>

int main()
{
    int id = shm_open_private(4096, SHMKEY_CREATE | 0600);
    if (id < 0) {
        std::fprintf(stderr, "%s\n", shm_last_error());
        return 1;
    }
    auto ring = shmkey::ring::open(shmkey::place::in(id, 0), 1024);
    bool removed = shm_remove(id) == 0;
    std::string text;
    if (!ring || !removed || !ring->send("hello from C++") || !ring->recv(text, shmkey::now)) {
        std::fprintf(stderr, "%s\n", shm_last_error());
        return 1;
    }
    std::printf("%s, version %s\n", text.c_str(), shm_version());
}
