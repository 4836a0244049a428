import PDFDocument from 'pdfkit';
import { amountText } from '../notifications/wording.ts';
import type { ToldOrder } from './invoices.ts';

const margin = 50;
const columns = { name: margin, quantity: 330, price: 390, sum: 470 } as const;

/** The invoice of an order as a PDF. `progress` is told the share of the lines that are set, 0 to 1. */
export async function invoicePdf(
  order: ToldOrder,
  { to, from, progress }: { to: string; from: string; progress: (share: number) => Promise<void> },
): Promise<Buffer> {
  const title = `Invoice ${order.id}`;
  const document = new PDFDocument({
    size: 'A4',
    margin,
    // The same order gives the same text on the same day: nothing of it is of the moment at which it was set.
    info: { Title: title, Author: from, CreationDate: order.placedAt, ModDate: order.placedAt },
  });
  const chunks: Buffer[] = [];
  document.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<void>((resolve, reject) => {
    document.once('end', resolve);
    document.once('error', reject);
  });

  document.font('Helvetica-Bold').fontSize(18).text(title);
  document.font('Helvetica').fontSize(11).moveDown();
  document
    .text(printable(from))
    .text(printable(to))
    .text(`Order of ${order.placedAt.toISOString().slice(0, 10)}`)
    .moveDown();
  line(document, ['Item', 'Quantity', 'Price', 'Sum'], 'Helvetica-Bold');
  for (const [at, { name, quantity, unitPriceCents }] of order.items.entries()) {
    const price = amountText(unitPriceCents, order.currency);
    line(
      document,
      [printable(name), String(quantity), price, amountText(unitPriceCents * quantity, order.currency)],
      'Helvetica',
    );
    await progress((at + 1) / order.items.length);
  }
  line(document, ['Total', '', '', amountText(order.totalCents, order.currency)], 'Helvetica-Bold');
  document.end();
  await ended;
  return Buffer.concat(chunks);
}

/** The standard fonts know the letters of Windows-1252 and no others. */
const beyondLatin1 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ';

/** The same text in letters that the font has; `?` for each other one. */
export function printable(text: string): string {
  return [...text.normalize('NFC')]
    .map((letter) => (/^[\x20-\x7e\xa0-\xff]$/.test(letter) || beyondLatin1.includes(letter) ? letter : '?'))
    .join('');
}

type Cells = [name: string, quantity: string, price: string, sum: string];

function line(document: PDFKit.PDFDocument, [name, quantity, price, sum]: Cells, font: string): void {
  document.font(font);
  const width = columns.quantity - columns.name - 10;
  if (document.y + document.heightOfString(name, { width }) > document.page.height - margin) document.addPage();
  const { y } = document;
  document.text(quantity, columns.quantity, y).text(price, columns.price, y).text(sum, columns.sum, y);
  // Last: it may take several lines, and what follows goes below them.
  document.text(name, columns.name, y, { width }).moveDown(0.3);
}
