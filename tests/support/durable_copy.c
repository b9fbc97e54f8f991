/*
 * What a power failure leaves behind. Preloaded, this copies a file to another folder whenever fsync
 * or fdatasync has put it on the disk, and forgets files that are gone whenever their folder is
 * synced. So the copy holds what certainly reached the disk, and nothing else.
 *
 * The environment names the folder that is watched (DURABLE_OF) and that of the copy (DURABLE_TO),
 * both absolute, without links and without a slash at the end. One process at a time may sync.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what)
{
    perror(what); /* an incomplete copy would accuse the service */
    abort();
}

static void join(char *path, const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        fail("durable_copy: path");
}

/* Read through the descriptor that is synced: to open the file anew and close it again would give up
 * all of the process's locks on it. */
static void copy(int file, const char *folder, const char *name)
{
    char part[PATH_MAX], whole[PATH_MAX], buffer[1 << 16];
    ssize_t count;
    off_t offset = 0;

    join(part, folder, ".part");
    join(whole, folder, name);
    int target = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (target < 0)
        fail("durable_copy: create");
    while ((count = pread(file, buffer, sizeof buffer, offset)) > 0) {
        if (write(target, buffer, count) != count)
            fail("durable_copy: write");
        offset += count;
    }
    if (count < 0 || close(target) != 0 || rename(part, whole) != 0)
        fail("durable_copy: copy");
}

static void forget_what_is_gone(const char *watched, const char *folder)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *entries = opendir(folder);

    if (entries == NULL)
        fail("durable_copy: list");
    while ((entry = readdir(entries)) != NULL) {
        join(path, watched, entry->d_name);
        if (entry->d_name[0] == '.' || access(path, F_OK) == 0)
            continue;
        join(path, folder, entry->d_name);
        if (unlink(path) != 0)
            fail("durable_copy: forget");
    }
    closedir(entries);
}

static void note(int file)
{
    const char *watched = getenv("DURABLE_OF"), *folder = getenv("DURABLE_TO");
    char link[64], path[PATH_MAX];
    struct stat status;

    if (watched == NULL || folder == NULL || fstat(file, &status) != 0 || status.st_nlink == 0)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        fail("durable_copy: name");
    path[length] = '\0';
    size_t inside = strlen(watched);
    if (strncmp(path, watched, inside) != 0)
        return;
    if (path[inside] == '\0')
        forget_what_is_gone(watched, folder);
    else if (path[inside] == '/' && strchr(path + inside + 1, '/') == NULL)
        copy(file, folder, path + inside + 1);
}

static int synced(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

    pthread_mutex_lock(&turn);
    int result = real(file);
    if (result == 0)
        note(file);
    pthread_mutex_unlock(&turn);
    return result;
}

int fsync(int file)
{
    return synced("fsync", file);
}

int fdatasync(int file)
{
    return synced("fdatasync", file);
}
