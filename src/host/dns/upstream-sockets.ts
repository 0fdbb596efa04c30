// Sends questions to other name servers: for each try a fresh UDP socket, connected, so that the kernel chooses a random port and
// lets only that server's datagrams in (RFC 5452 §9.2), or a TCP connection.

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Cancel } from '../../base/capabilities.ts';
import type { Endpoint } from '../../base/endpoint.ts';
import { FramedMessages, frameMessage } from './framed-messages.ts';

export interface UpstreamExchange {
  readonly server: Endpoint;
  readonly transport: 'udp' | 'tcp';
  readonly message: Uint8Array;
  received(message: Uint8Array): void;
  failed(): void;
}

/** Nothing is called after the returned function has been. `failed` comes at most once, and never from within this call. */
export function exchange(request: UpstreamExchange): Cancel {
  return request.transport === 'udp' ? overUdp(request) : overTcp(request);
}

function overUdp({ server, message, received, failed }: UpstreamExchange): Cancel {
  const socket = createSocket(server.ip.includes(':') ? 'udp6' : 'udp4');
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    socket.removeAllListeners('message');
    socket.close();
  };
  const fail = (): void => {
    if (!open) return;
    close();
    failed();
  };
  socket.on('error', fail); // refused by ICMP, or no route
  socket.on('message', (bytes) => {
    if (open) received(bytes);
  });
  socket.on('connect', () => {
    if (open) socket.send(message, (error) => (error === null ? undefined : fail()));
  });
  socket.connect(server.port, server.ip);
  return close;
}

function overTcp({ server, message, received, failed }: UpstreamExchange): Cancel {
  const socket = connect({ host: server.ip, port: server.port });
  const messages = new FramedMessages();
  let open = true;
  const close = (): void => {
    open = false;
    socket.destroy();
  };
  const fail = (): void => {
    if (!open) return;
    close();
    failed();
  };
  socket.on('error', fail);
  socket.on('close', fail);
  socket.on('data', (chunk) => {
    for (const answer of messages.push(chunk)) if (open) received(answer);
  });
  socket.write(frameMessage(message));
  return close;
}
