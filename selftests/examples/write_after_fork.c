// SPDX-License-Identifier: GPL-2.0
/* Write through a pin after fork: the parent keeps its page, the child keeps the old content. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guplab.h"

int main(void)
{
	char *buf = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guplab_pin pin = { .addr = (long)buf, .nr_pages = 1, .flags = GUPLAB_PIN_WRITE };
	struct guplab_dma dma = { .buf = (long)"new", .len = 4, .flags = GUPLAB_DMA_TO_PAGES };
	int lab = open("/dev/guplab", O_RDWR), go[2], status = 1;

	if (buf == MAP_FAILED || lab < 0 || pipe(go))
		return 4;
	sprintf(buf, "old");
	if (ioctl(lab, GUPLAB_IOC_PIN, &pin))
		return 1;
	if (fork() == 0)			/* waits for the write, then looks: "old" */
		_exit(read(go[0], &status, 1) != 1 || *buf != 'o');
	dma.handle = pin.handle;
	if (ioctl(lab, GUPLAB_IOC_DMA, &dma))	/* as a device would: by page, not by address */
		return 1;
	if (write(go[1], "", 1) != 1 || wait(&status) < 0)
		return 1;
	printf("the parent sees \"%s\"\n", buf);		/* "new" */
	return status || *buf != 'n';
}
