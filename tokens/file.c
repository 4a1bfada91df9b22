#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads up to `most` bytes; -1 when that failed. */
static ssize_t read_all(int fd, unsigned char *bytes, size_t most)
{
    size_t used = 0;
    while (used < most) {
        ssize_t n = read(fd, bytes + used, most - used);
        if (n < 0 && !file_again(fd, POLLIN, errno)) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        used += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)used;
}

/* How much room the file needs: a regular one tells its size; of a pipe nobody knows. 0: too much. */
static size_t room_for(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return KW_SECRET_MAX;
    }
    if (st.st_size > KW_SECRET_MAX) {
        return 0;
    }
    return st.st_size == 0 ? 1 : (size_t)st.st_size;
}

/* `most` is what the descriptor can hold if it is no more than we take. */
static struct kw_rv read_whole(int fd, size_t most, struct kw_secret **out)
{
    struct kw_secret *s = NULL;
    unsigned char more;
    struct kw_rv r = kw_secret_new(most, &s);
    ssize_t got = kw_ok(r) ? read_all(fd, kw_secret_bytes(s), most) : 0;
    if (got < 0) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD, "it cannot be read");
    } else if (kw_ok(r) && read_all(fd, &more, 1) != 0) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD, "it is longer than it may be, or grows while it is read");
    }
    if (!kw_ok(r)) {
        kw_secret_free(s);
        return r;
    }
    kw_secret_shrink(s, (size_t)got);
    *out = s;
    return KW_OK;
}

struct kw_rv file_read(const char *path, struct kw_secret **out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT
                   ? KW_FAIL(CKR_ARGUMENTS_BAD, "there is no such file")
                   : KW_FAIL(CKR_ARGUMENTS_BAD, "it cannot be opened; check its permissions");
    }
    size_t room = room_for(fd);
    struct kw_rv r = room == 0 ? KW_FAIL(CKR_ARGUMENTS_BAD, "it is larger than 64 KiB; no file of this kind is")
                               : read_whole(fd, room, out);
    (void)close(fd);
    return r;
}

struct kw_rv file_take(int fd, size_t most, struct kw_secret **out)
{
    return read_whole(fd, most, out);
}

bool file_again(int fd, short events, int error)
{
    struct pollfd wait = {.fd = fd, .events = events};
    if (error != EAGAIN && error != EWOULDBLOCK) {
        return error == EINTR;
    }
    return poll(&wait, 1, -1) >= 0 || errno == EINTR;
}

bool file_put(int fd, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && !file_again(fd, POLLOUT, errno)) {
            return false;
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

struct kw_rv file_write(const char *path, const void *bytes, size_t len, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return errno == EEXIST
                   ? KW_FAIL(CKR_ARGUMENTS_BAD,
                             "it exists and is not overwritten; name another file or remove it")
                   : KW_FAIL(
                         CKR_ARGUMENTS_BAD,
                         "it cannot be made; check that its folder is there and may be written");
    }
    bool good = file_put(fd, bytes, len) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good) {
        (void)unlink(path);
        return KW_FAIL(CKR_ARGUMENTS_BAD, "it cannot be written; see that the disk has room");
    }
    return KW_OK;
}
