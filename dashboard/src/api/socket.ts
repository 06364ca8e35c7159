import {
  type ConnectionEvent,
  type ConnectionState,
  type Effect,
  initialConnection,
  step,
} from './connection';
import { parseMessage, type ServerMessage } from './messages';

const TICK_MS = 250;

export interface LiveSocketHandlers {
  onState(state: ConnectionState): void;
  onMessage(message: ServerMessage): void;
  /** Called each time a connection stands: subscribe again here. */
  onOpen(): void;
}

/** The thin shell around the state machine in `connection.ts`: one socket, one timer. */
export class LiveSocket {
  private state: ConnectionState = initialConnection;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setInterval> | null = null;

  constructor(
    private readonly url: string,
    private readonly handlers: LiveSocketHandlers,
  ) {}

  start(): void {
    this.timer = setInterval(() => this.dispatch({ type: 'tick', now_ms: Date.now() }), TICK_MS);
    addEventListener('offline', this.lost);
    addEventListener('online', this.back);
    this.handlers.onState(this.state);
    this.open();
  }

  stop(): void {
    if (this.timer) clearInterval(this.timer);
    removeEventListener('offline', this.lost);
    removeEventListener('online', this.back);
    this.detach();
  }

  retryNow(): void {
    this.dispatch({ type: 'retry_now' });
  }

  /** Sends if connected. What is not sent is sent again by `onOpen`, so nothing is queued. */
  send(text: string): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  private lost = (): void => this.dispatch({ type: 'network_lost' });
  private back = (): void => this.dispatch({ type: 'network_back' });

  private dispatch(event: ConnectionEvent): void {
    const next = step(this.state, event);
    const changed = next.state !== this.state;
    this.state = next.state;
    for (const effect of next.effects) this.perform(effect);
    if (changed) this.handlers.onState(this.state);
  }

  private perform(effect: Effect): void {
    switch (effect) {
      case 'open':
        this.open();
        break;
      case 'close':
        this.close();
        break;
      case 'ping':
        this.send('{"type":"ping"}');
        break;
      case 'resync':
        this.handlers.onOpen();
        break;
    }
  }

  private open(): void {
    this.detach();
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => this.dispatch({ type: 'opened', now_ms: Date.now() });
    socket.onclose = () => this.closed();
    socket.onmessage = (event) => {
      if (typeof event.data !== 'string') return;
      const message = parseMessage(event.data);
      if (!message) return;
      this.dispatch({ type: 'message', now_ms: Date.now() });
      this.handlers.onMessage(message);
    };
  }

  /** Ends the connection. A dead peer may never answer the close, so we do not wait for it. */
  private close(): void {
    this.detach();
    this.closed();
  }

  private closed(): void {
    this.dispatch({
      type: 'closed',
      now_ms: Date.now(),
      random: Math.random(),
      online: navigator.onLine,
    });
  }

  private detach(): void {
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close();
  }
}
