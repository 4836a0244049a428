/** A row of `reviews` with its author's name, as the driver gives it. */
export type ReviewRow = {
  id: number;
  product_id: number;
  author_id: number;
  /** Null while the author's own row is not there yet. */
  author_name: string | null;
  rating: number;
  title: string;
  body: string;
  created_at: Date;
};

/** `SELECT … FROM …` of `ReviewRow`; `r` is the review. */
export const selectReviews = `SELECT r.id, r.product_id, r.author_id, a.display_name AS author_name, r.rating, r.title, r.body, r.created_at
   FROM reviews r LEFT JOIN authors a ON a.id = r.author_id`;

/** A review as the API shows it. */
export type ReviewView = {
  id: number;
  product_id: number;
  rating: number;
  title: string;
  body: string;
  author: { id: number; display_name: string };
  created_at: string;
};

export function reviewView(row: ReviewRow): ReviewView {
  return {
    id: Number(row.id),
    product_id: Number(row.product_id),
    rating: row.rating,
    title: row.title,
    body: row.body,
    author: { id: Number(row.author_id), display_name: row.author_name ?? '' },
    created_at: row.created_at.toISOString(),
  };
}
