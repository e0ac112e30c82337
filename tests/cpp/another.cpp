// A second file of the program in objects.cpp: that the header is in both is no clash.
#include <shmkey.hpp>
#include <shmkey.hpp>

int another_file(const char *name);

int another_file(const char *name)
{
    auto ring = shmkey::ring::open(std::string(name) + " ring", 100);
    if (!ring || !ring->send("from another file")) {
        return 0;
    }
    std::string text;
    return ring->recv(text) && text == "from another file" && ring->remove();
}
