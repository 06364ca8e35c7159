// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ConnectionState } from './connection';
import type { ServerMessage } from './messages';
import { LiveSocket } from './socket';

/** Stands in for the browser's WebSocket; the test plays the server. */
class FakeWebSocket {
  static readonly OPEN = 1;
  static made: FakeWebSocket[] = [];
  readyState = 0;
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(readonly url: string) {
    FakeWebSocket.made.push(this);
  }
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.readyState = 3;
  }
  accept() {
    this.readyState = FakeWebSocket.OPEN;
    this.onopen?.();
  }
  drop() {
    this.readyState = 3;
    this.onclose?.();
  }
}

const latest = () => FakeWebSocket.made[FakeWebSocket.made.length - 1] as FakeWebSocket;

describe('LiveSocket', () => {
  let states: ConnectionState[];
  let messages: ServerMessage[];
  let opened: number;
  let live: LiveSocket;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('WebSocket', FakeWebSocket);
    FakeWebSocket.made = [];
    states = [];
    messages = [];
    opened = 0;
    live = new LiveSocket('ws://test/ws/realtime', {
      onState: (state) => states.push(state),
      onMessage: (message) => messages.push(message),
      onOpen: () => opened++,
    });
    live.start();
  });

  afterEach(() => {
    live.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('subscribes again after every connect', () => {
    latest().accept();
    expect(opened).toBe(1);
    latest().drop();
    expect(states.at(-1)?.phase).toBe('waiting');
    vi.advanceTimersByTime(1_000);
    expect(FakeWebSocket.made).toHaveLength(2);
    latest().accept();
    expect(opened).toBe(2);
    expect(states.at(-1)?.phase).toBe('live');
  });

  it('hands messages on and skips what is not JSON', () => {
    latest().accept();
    latest().onmessage?.({ data: '{"type":"pong"}' });
    latest().onmessage?.({ data: 'noise' });
    latest().onmessage?.({ data: new ArrayBuffer(2) });
    expect(messages).toEqual([{ type: 'pong' }]);
  });

  it('sends only while connected', () => {
    live.send('early');
    latest().accept();
    live.send('now');
    expect(latest().sent).toEqual(['now']);
  });

  it('takes a peer that fell silent for dead and opens anew', () => {
    latest().accept();
    vi.advanceTimersByTime(13_000);
    expect(states.at(-1)?.phase).toBe('stale');
    expect(latest().sent).toEqual(['{"type":"ping"}']);
    vi.advanceTimersByTime(30_000);
    expect(FakeWebSocket.made.length).toBeGreaterThan(1);
  });

  it('ends quietly', () => {
    const socket = latest();
    live.stop();
    vi.advanceTimersByTime(120_000);
    expect(socket.readyState).toBe(3);
    expect(FakeWebSocket.made).toHaveLength(1);
  });
});
