/* Adds up the pixels of pictures, as many a C library reads files: well, while a file is what it should be.
 *
 * A picture is the letter G or P, for one of greys or with a palette; its width and its height, of two bytes
 * each, the lower first; with a palette, the number of its colours and a byte for each; and then runs of
 * pixels, each a length and a grey or colour.
 *
 * Four errors were left in it, of kinds that are found in real libraries every year. Each is marked. Behind
 * three of them (2, 3 and 4) the language promises nothing: what follows is up to the compiler. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory) {
		/* ERROR 1: a library decides that the program ends. */
		fprintf(stderr, "picture: no memory for %zu pixels\n", count);
		abort();
	}
	return memory;
}

static size_t two_bytes(const uint8_t *bytes)
{
	return bytes[0] | (size_t)bytes[1] << 8;
}

/* The sum of all pixels, or -1 for what is no picture. */
int64_t picture_brightness(const uint8_t *file, size_t size)
{
	/* ERROR 2: of a file of less than five bytes this makes a pointer beyond its end, before it looks at the size.
	 * It goes well with today's compilers, for nobody uses it; none of them has to let it. */
	const uint8_t *run = file + 5, *end = file + size;
	uint8_t *picture, *palette = NULL;
	size_t pixels, done = 0;
	int64_t sum = 0;

	if (size < 6 || (file[0] != 'G' && file[0] != 'P'))
		return -1;
	pixels = two_bytes(file + 1) * two_bytes(file + 3);
	picture = allocate(pixels, 1);
	if (file[0] == 'P') {
		size_t colours = *run++;

		if (colours > 0 && colours <= (size_t)(end - run)) {
			palette = allocate(256, 1);
			memcpy(palette, run, colours);
			run += colours;
		}
	}
	while (done < pixels && end - run >= 2) {
		size_t length = run[0];
		/* ERROR 3: a picture that should have a palette may have none, or one that claims more than there is; then
		 * this uses a null pointer. */
		uint8_t pixel = file[0] == 'P' ? palette[run[1]] : run[1];

		if (length > pixels - done)
			length = pixels - done;
		memset(picture + done, pixel, length);
		done += length;
		/* ERROR 4: after a run of no pixels it looks at the same run again, for ever, where a compiler may
		 * believe that every such loop ends. */
		if (length > 0)
			run += 2;
	}
	for (size_t i = 0; i < done; i++)
		sum += picture[i];
	free(palette);
	free(picture);
	return done == pixels ? sum : -1;
}
