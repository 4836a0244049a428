/**
 * Whether an answer is a stream of server-sent events (WHATWG HTML §9.2), which may be silent for as long as it likes and has no end
 * that anybody could wait for. `contentType` as the header has it; a media type is the same in any case (RFC 9110 §8.3.1).
 */
export const isEventStream = (contentType: string | undefined): boolean =>
  contentType !== undefined && /^text\/event-stream(?![^;\s])/i.test(contentType);
