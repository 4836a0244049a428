import { type Fault, noFault, takeFault } from './fault.ts';

export type KeptMail = {
  id: number;
  messageId: string;
  from: string;
  /** As the envelope says. */
  to: string[];
  subject: string;
  text: string;
  attachments: { filename: string; contentType: string; content: Buffer }[];
  receivedAt: Date;
};

/** Mails in memory, the newest `most` of them, and what is wrong on purpose. */
export type Mailbox = {
  add(mail: Omit<KeptMail, 'id'>): KeptMail;
  /** Oldest first. */
  list(to?: string): KeptMail[];
  find(id: number): KeptMail | undefined;
  remove(id: number): boolean;
  clear(): number;
  fault(): Fault;
  setFault(fault: Fault): void;
  /** The fault for one message, used up by it. */
  nextFault(): Fault;
  /** Messages that were begun, taken or not. */
  begun(): number;
};

export function createMailbox({ most }: { most: number }): Mailbox {
  const mails: KeptMail[] = [];
  let lastId = 0;
  let fault = noFault;
  let begun = 0;
  return {
    add(mail: Omit<KeptMail, 'id'>) {
      lastId += 1;
      const kept = { id: lastId, ...mail };
      mails.push(kept);
      if (mails.length > most) mails.shift();
      return kept;
    },
    list: (to?: string) => mails.filter((mail) => to === undefined || mail.to.includes(to)),
    find: (id: number) => mails.find((mail) => mail.id === id),
    remove(id: number) {
      const at = mails.findIndex((mail) => mail.id === id);
      if (at >= 0) mails.splice(at, 1);
      return at >= 0;
    },
    clear: () => mails.splice(0).length,
    fault: () => fault,
    setFault(next: Fault) {
      fault = next;
    },
    nextFault() {
      begun += 1;
      const { now, left } = takeFault(fault);
      fault = left;
      return now;
    },
    begun: () => begun,
  };
}
