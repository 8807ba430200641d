// The page Health.

import { empty } from "./elements.js";

export const title = "Health";

/** Draw the page. */
export async function show(main) {
  main.append(empty("This page is not there yet."));
}
