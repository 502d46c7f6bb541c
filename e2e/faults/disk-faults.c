/*
 * Faults of the disk under one node, for LD_PRELOAD. Built by disk-faults.ts; nothing of the product uses it.
 *
 * It stands between the stores of a node (data.mdb below <node>/data/) and the C library, and does what <node>/faults
 * says: a page shared with the test, see `struct control`. LMDB writes by writev and pwrite, syncs by fdatasync, and
 * writes its meta page through a descriptor of its own that is opened with O_DSYNC.
 *
 * Every write is noted with what it replaced until it is synced. A power loss takes the unsynced ones back, all of them
 * or at random some, in whole or up to a sector: what a disk may do that was promised nothing. A failed sync does the
 * same and then says so: what the kernel could not write it may forget (Rebello et al., ATC 2020).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NONE = 0, FAIL_SYNC = 1, FAIL_WRITE = 2, POWER_OFF = 3, READ_ONLY = 4 };

struct control {
  volatile uint32_t mode;
  /* 1: the disk has only `room` bytes left. */
  volatile uint32_t limited;
  volatile int64_t room;
  /* Faults that were met, for the test to see that it tested something. */
  volatile uint32_t met;
  /* Unsynced writes that a power loss took back. */
  volatile uint32_t dropped;
};

struct write {
  struct write *earlier;
  off_t at;
  size_t old_bytes, new_bytes;
  int durable;
  char *old_data, *new_data;
};

struct file {
  dev_t device;
  ino_t inode;
  int fd; /* our own, for reading and taking back */
  off_t synced_size;
  struct write *last;
};

#define FILES_MAX 64
#define FDS_MAX 4096
#define SECTOR 512
#define PAGE 4096
#define EXIT_POWER_OFF 99
#define SYNC_NS_MAX 3000000

static struct control *control;
static struct file files[FILES_MAX];
static int file_count;
static struct { struct file *file; int synchronous; } fds[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
  static result (*real)(__VA_ARGS__); \
  if (real == NULL) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int real_open(const char *path, int flags, mode_t mode) {
  REAL(int, open64, const char *, int, ...);
  return real(path, flags, mode);
}

static ssize_t real_pwrite(int fd, const void *data, size_t bytes, off_t at) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
  return real(fd, data, bytes, at);
}

static int real_fdatasync(int fd) {
  REAL(int, fdatasync, int);
  return real(fd);
}

/* ---- what is not synced ---- */

static void forget(struct file *file) {
  while (file->last != NULL) {
    struct write *write = file->last;
    file->last = write->earlier;
    free(write->old_data);
    free(write->new_data);
    free(write);
  }
  struct stat status;
  if (fstat(file->fd, &status) == 0) file->synced_size = status.st_size;
}

static void note(struct file *file, const char *data, size_t bytes, off_t at, int durable) {
  struct write *write = calloc(1, sizeof *write);
  write->at = at;
  write->durable = durable;
  write->new_bytes = bytes;
  write->new_data = memcpy(malloc(bytes), data, bytes);
  write->old_data = malloc(bytes);
  ssize_t got = pread(file->fd, write->old_data, bytes, at);
  write->old_bytes = got < 0 ? 0 : (size_t)got;
  write->earlier = file->last;
  file->last = write;
}

/* Later ones first, so that each puts back what it found. What was written synchronously stays, and some of the rest. */
static void take_back(struct file *file, int keeps_some) {
  struct write *first = NULL;
  for (struct write *write = file->last; write != NULL;) {
    struct write *earlier = write->earlier;
    if (write->old_bytes > 0) real_pwrite(file->fd, write->old_data, write->old_bytes, write->at);
    write->earlier = first; /* now the later one */
    first = write;
    write = earlier;
  }
  if (ftruncate(file->fd, file->synced_size) != 0) abort();
  for (struct write *write = first; write != NULL; write = write->earlier) {
    size_t kept = write->durable ? write->new_bytes : 0;
    if (!write->durable && keeps_some && rand() % 2 == 0) {
      kept = write->new_bytes;
      if (rand() % 4 == 0) kept = (size_t)rand() % (kept / SECTOR + 1) * SECTOR;
    }
    if (kept > 0) real_pwrite(file->fd, write->new_data, kept, write->at);
    if (kept < write->new_bytes) control->dropped++;
  }
  real_fdatasync(file->fd);
  file->last = NULL; /* what it held is not needed any more, and the process is about to end */
  struct stat status;
  if (fstat(file->fd, &status) == 0) file->synced_size = status.st_size;
}

static void *watch_power(void *unused) {
  (void)unused;
  const struct timespec pause = {0, 1000000};
  while (control->mode != POWER_OFF) nanosleep(&pause, NULL);
  pthread_mutex_lock(&lock); /* for good: nothing is written from here on */
  for (int i = 0; i < file_count; i++) take_back(&files[i], rand() % 2);
  _exit(EXIT_POWER_OFF);
}

/* ---- which files ---- */

/* The length of <node>, if the path lies below <node>/data/; else 0. */
static size_t node_length(const char *path) {
  const char *data = strstr(path, "/data/");
  return data == NULL ? 0 : (size_t)(data - path);
}

static int is_store(const char *path) {
  size_t length = strlen(path);
  return node_length(path) > 0 && length > 9 && strcmp(path + length - 9, "/data.mdb") == 0;
}

static void find_control(const char *path) {
  size_t length = node_length(path);
  if (control != NULL || length == 0 || length > 3000) return;
  char name[PAGE];
  memcpy(name, path, length);
  strcpy(name + length, "/faults");
  /* Made with the first store: nothing else tells that this is a node's directory. */
  int fd = real_open(name, O_RDWR | (is_store(path) ? O_CREAT : 0), 0600);
  if (fd < 0) return;
  if (ftruncate(fd, PAGE) != 0) abort();
  void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page == MAP_FAILED) return;
  control = page;
  srand((unsigned)time(NULL) ^ ((unsigned)getpid() << 8));
  pthread_t thread;
  pthread_create(&thread, NULL, watch_power, NULL);
}

static void follow(int fd, const char *path, int flags) {
  struct stat status;
  if (fd >= FDS_MAX || fstat(fd, &status) != 0) return;
  struct file *file = NULL;
  for (int i = 0; i < file_count; i++) {
    if (files[i].device == status.st_dev && files[i].inode == status.st_ino) file = &files[i];
  }
  if (file == NULL) {
    if (file_count == FILES_MAX) return;
    file = &files[file_count++];
    *file = (struct file){status.st_dev, status.st_ino, real_open(path, O_RDWR | O_CLOEXEC, 0), status.st_size, NULL};
  }
  fds[fd].synchronous = (flags & O_DSYNC) != 0;
  fds[fd].file = file;
}

static int open_file(const char *path, int flags, mode_t mode) {
  if (node_length(path) == 0) return real_open(path, flags, mode);
  pthread_mutex_lock(&lock);
  find_control(path);
  int fd;
  if (control != NULL && control->mode == READ_ONLY && (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0) {
    control->met++;
    errno = EROFS;
    fd = -1;
  } else {
    fd = real_open(path, flags, mode);
    if (fd >= 0 && control != NULL && is_store(path)) follow(fd, path, flags);
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

static struct file *file_of(int fd) {
  return fd >= 0 && fd < FDS_MAX ? fds[fd].file : NULL;
}

/* ---- what the stores call ---- */

static mode_t mode_of(int flags, va_list rest) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = mode_of(flags, rest); \
    va_end(rest); \
    return open_file(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  if (node_length(path) > 0) {
    find_control(path);
    if (control != NULL && control->mode == READ_ONLY) {
      errno = EROFS;
      return -1;
    }
  }
  return real(path, mode);
}

int close(int fd) {
  REAL(int, close, int);
  if (file_of(fd) != NULL) {
    pthread_mutex_lock(&lock);
    fds[fd].file = NULL;
    pthread_mutex_unlock(&lock);
  }
  return real(fd);
}

/* Under the lock. */
static ssize_t write_at(int fd, const char *data, size_t bytes, off_t at) {
  struct file *file = fds[fd].file;
  if (control->mode == FAIL_WRITE || (control->mode == FAIL_SYNC && fds[fd].synchronous)) {
    control->met++;
    errno = EIO;
    return -1;
  }
  if (control->limited) {
    if (control->room < (int64_t)bytes) {
      control->met++;
      errno = ENOSPC;
      return -1;
    }
    /* Pages that are used again need no new block. */
    struct stat status;
    if (fstat(fd, &status) == 0 && at + (off_t)bytes > status.st_size) control->room -= at + (off_t)bytes - status.st_size;
  }
  note(file, data, bytes, at, fds[fd].synchronous);
  return real_pwrite(fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) {
  if (file_of(fd) == NULL) return real_pwrite(fd, data, bytes, at);
  pthread_mutex_lock(&lock);
  ssize_t written = write_at(fd, data, bytes, at);
  pthread_mutex_unlock(&lock);
  return written;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
  return pwrite64(fd, data, bytes, at);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  if (file_of(fd) == NULL) return real(fd, pieces, count);
  pthread_mutex_lock(&lock);
  off_t at = lseek(fd, 0, SEEK_CUR);
  ssize_t total = 0;
  for (int i = 0; i < count; i++) {
    ssize_t written = write_at(fd, pieces[i].iov_base, pieces[i].iov_len, at + total);
    if (written < 0) {
      if (total == 0) total = -1;
      break;
    }
    total += written;
  }
  int reason = errno;
  if (total > 0) lseek(fd, at + total, SEEK_SET);
  pthread_mutex_unlock(&lock);
  errno = reason;
  return total;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  REAL(ssize_t, write, int, const void *, size_t);
  if (file_of(fd) == NULL) return real(fd, data, bytes);
  struct iovec piece = {(void *)data, bytes};
  return writev(fd, &piece, 1);
}

static int sync_file(int fd, int (*real)(int)) {
  struct file *file = file_of(fd);
  if (file == NULL) return real(fd);
  /* As long as a disk takes, so that the power goes off amid it. LMDB has one writer: nothing is written meanwhile. */
  const struct timespec pause = {0, rand() % SYNC_NS_MAX};
  nanosleep(&pause, NULL);
  pthread_mutex_lock(&lock);
  int result = 0;
  if (control->mode == FAIL_SYNC) {
    control->met++;
    take_back(file, 1);
    errno = EIO;
    result = -1;
  } else {
    /* The machine itself stays on: what is noted as synced is synced enough. */
    forget(file);
  }
  pthread_mutex_unlock(&lock);
  return result;
}

int fdatasync(int fd) {
  REAL(int, fdatasync, int);
  return sync_file(fd, real);
}

int fsync(int fd) {
  REAL(int, fsync, int);
  return sync_file(fd, real);
}

/* A disk with little room says so when it is asked. */
int statfs64(const char *path, struct statfs64 *status) {
  REAL(int, statfs64, const char *, struct statfs64 *);
  int result = real(path, status);
  if (result == 0 && control != NULL && control->limited) {
    int64_t room = control->room < 0 ? 0 : control->room;
    status->f_bavail = (uint64_t)room / (uint64_t)status->f_bsize;
  }
  return result;
}

int statfs(const char *path, struct statfs *status) {
  return statfs64(path, (struct statfs64 *)status);
}
