/* A program whose work is a plugin's, with the functions that the plugin brings along. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    /* The plugin's own libraries come before libc, which has functions of the same names. */
    void *plugin = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    int (*plugin_main)(int, char **);

    if (plugin == NULL) {
        printf("%s\n", dlerror());
        return 1;
    }
    *(void **) &plugin_main = dlsym(plugin, "plugin_main");
    return plugin_main == NULL ? 1 : plugin_main(argc, argv);
}
