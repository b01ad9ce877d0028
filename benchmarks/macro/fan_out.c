/* The plainest possible fan-out: the limit that benchmarks/macro/fan_out.py compares with.
 *
 *     cc -O2 -o fan_out fan_out.c && ./fan_out PORT SOCKETS PAYLOAD_BYTES [together]
 *
 * Answers each request with a fixed head, as a WebSocket server would, without looking at it. Then
 * each frame of that payload, from whatever client, makes it write one ready frame to each socket,
 * one write call each; or, together, one for all the frames that one read has brought.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\n\r\n";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int listen_at(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        die("listen");
    return listener;
}

static size_t make_frame(unsigned char *frame, size_t payload) {
    size_t head = 2;
    frame[0] = 0x81;
    if (payload < 126) {
        frame[1] = payload;
    } else {
        frame[1] = 126;
        frame[2] = payload >> 8;
        frame[3] = payload & 255;
        head = 4;
    }
    memset(frame + head, 'x', payload);
    return head + payload;
}

int main(int count, char **arguments) {
    if (count != 4 && count != 5)
        return fprintf(stderr, "usage: fan_out PORT SOCKETS PAYLOAD_BYTES [together]\n"), 2;
    int sockets = atoi(arguments[2]), *members = calloc(sockets, sizeof *members), one = 1;
    unsigned char frames[131072];
    char received[65536];
    size_t size = make_frame(frames, atoi(arguments[3])), most = count == 5 ? sizeof frames / size : 1;
    for (size_t copy = 1; copy < most; copy++)
        memcpy(frames + copy * size, frames, size);
    int listener = listen_at(atoi(arguments[1])), poller = epoll_create1(0);
    for (int member = 0; member < sockets; member++) {
        members[member] = accept(listener, NULL, NULL);
        if (members[member] < 0 || read(members[member], received, sizeof received) <= 0)
            die("accept");
        setsockopt(members[member], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (write(members[member], ANSWER, sizeof ANSWER - 1) < 0)
            die("answer");
        struct epoll_event event = {.events = EPOLLIN, .data.fd = members[member]};
        epoll_ctl(poller, EPOLL_CTL_ADD, members[member], &event);
    }
    for (;;) {
        struct epoll_event ready[64];
        int many = epoll_wait(poller, ready, 64, -1);
        for (int each = 0; each < many; each++) {
            ssize_t got = read(ready[each].data.fd, received, sizeof received);
            if (got <= 0)
                return 0;
            /* A client's frame is longer by its mask. */
            for (size_t rest = got / (size + 4), many; rest > 0; rest -= many) {
                many = rest < most ? rest : most;
                for (int member = 0; member < sockets; member++)
                    if (write(members[member], frames, many * size) != (ssize_t)(many * size))
                        die("write");
            }
        }
    }
}
