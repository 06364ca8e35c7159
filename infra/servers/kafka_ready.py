"""Exits 0 when the broker on the given loopback port answers and knows its controller.

Speaks the wire protocol itself (Metadata request, version 1), because a Java client
takes longer to start than the broker.
"""
import socket
import struct
import sys


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionError("closed")
        data += chunk
    return data


def controller(port):
    client = b"ready"
    # api key 3, version 1, correlation id 1, client id, an empty list of topics
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", read_exactly(connection, 4))
        answer = read_exactly(connection, size)
    (brokers,) = struct.unpack_from(">i", answer, 4)
    position = 8
    for _ in range(brokers):  # node id, host, port, rack
        (host_length,) = struct.unpack_from(">h", answer, position + 4)
        position += 4 + 2 + host_length + 4
        (rack_length,) = struct.unpack_from(">h", answer, position)
        position += 2 + max(rack_length, 0)
    (controller_id,) = struct.unpack_from(">i", answer, position)
    return brokers, controller_id


if __name__ == "__main__":
    try:
        brokers, controller_id = controller(int(sys.argv[1]))
    except OSError as error:
        sys.exit(f"no answer: {error}")
    sys.exit(0 if brokers > 0 and controller_id >= 0 else "no controller yet")
