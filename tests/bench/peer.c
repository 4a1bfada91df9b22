#include "peer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 60, ARGUMENTS_MAX = 128 };

static void die(const char *name, const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", name, what);
    exit(1);
}

static void set_env(const struct settings_env *env)
{
    for (size_t i = 0; env != NULL && i < env->count; i++) {
        const char *value = strchr(env->assignment[i], '=');
        char name[NAME_MAX];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(env->assignment[i], "="), env->assignment[i]);
        if (setenv(name, value == NULL ? "" : value + 1, 1) != 0) {
            die("agent", "the environment cannot be set");
        }
    }
}

static void become_agent(const struct peer_plan *plan, int socket)
{
    char role[16];
    char flag[] = "--role";
    char *argv[ARGUMENTS_MAX + 3];
    size_t count = 0;
    while (count < ARGUMENTS_MAX && plan->argv[count] != NULL) {
        argv[count] = plan->argv[count];
        count++;
    }
    snprintf(role, sizeof role, "%s", plan->side->name);
    argv[count++] = flag;
    argv[count++] = role;
    argv[count] = NULL;
    set_env(&plan->side->env);
    set_env(plan->more);
    /* dup2 clears close-on-exec, unless the descriptor is the right one already. */
    if (socket == AGENT_SOCKET ? fcntl(socket, F_SETFD, 0) < 0 : dup2(socket, AGENT_SOCKET) < 0) {
        die(plan->side->name, "no descriptor for the agent");
    }
    execv("/proc/self/exe", argv);
    die(plan->side->name, "cannot execute /proc/self/exe");
}

void peer_start(const struct peer_plan *plan, struct peer *peer)
{
    int ends[2];
    fflush(NULL); /* the child must not print what is still in the buffers */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        die(plan->side->name, "cannot make a socket pair");
    }
    pid_t pid = fork();
    if (pid < 0) {
        die(plan->side->name, "cannot fork");
    }
    if (pid == 0) {
        become_agent(plan, ends[1]);
    }
    close(ends[1]);
    *peer = (struct peer){plan->side->name, pid, ends[0]};
}

static void report_death(const struct peer *peer)
{
    int status = 0;
    waitpid(peer->pid, &status, 0);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "bench: %s: the agent died of signal %d\n", peer->name,
                WTERMSIG(status));
    } else {
        fprintf(stderr, "bench: %s: the agent gave up (status %d), see above\n", peer->name,
                WEXITSTATUS(status));
    }
    exit(1);
}

void peer_ask(const struct peer *peer, const struct agent_request *request,
              struct agent_reply *reply)
{
    struct pollfd wait = {.fd = peer->socket, .events = POLLIN};
    int patience = (int)((request->seconds + PATIENCE_SECONDS) * 1000.0);
    if (send(peer->socket, request, sizeof *request, MSG_NOSIGNAL) != (ssize_t)sizeof *request) {
        report_death(peer);
    }
    if (poll(&wait, 1, patience) == 0) {
        kill(peer->pid, SIGKILL);
        die(peer->name, "the agent did not answer within 60 s: a call of its module hangs");
    }
    if (recv(peer->socket, reply, sizeof *reply, 0) != (ssize_t)sizeof *reply) {
        report_death(peer);
    }
}

void peer_stop(struct peer *peer)
{
    close(peer->socket);
    waitpid(peer->pid, NULL, 0);
    *peer = (struct peer){.name = peer->name, .pid = -1, .socket = -1};
}
