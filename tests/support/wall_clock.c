/*
 * A wall clock that can be set while the service runs. Preloaded, this adds a step to the time of
 * day and leaves every other clock alone. The step, in seconds as a 64-bit integer of this machine,
 * is in the file that the environment names (WALL_CLOCK_STEP); a change counts at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_gettime_t)(clockid_t, struct timespec *);

static clock_gettime_t real_clock_gettime;
static volatile int64_t *step_seconds;

__attribute__((constructor)) static void open_step(void)
{
    const char *path = getenv("WALL_CLOCK_STEP");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *shared = mmap(NULL, sizeof *step_seconds, PROT_READ, MAP_SHARED, file, 0);

    if (shared == MAP_FAILED) {
        perror("wall_clock: WALL_CLOCK_STEP");
        abort();
    }
    close(file);
    real_clock_gettime = (clock_gettime_t)dlsym(RTLD_NEXT, "clock_gettime");
    step_seconds = shared;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (real_clock_gettime == NULL) /* another library's constructor came first */
        real_clock_gettime = (clock_gettime_t)dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock_gettime(clock, now);
    if (result == 0 && step_seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *step_seconds;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}
