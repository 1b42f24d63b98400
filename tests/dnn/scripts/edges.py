# Net: fully convolutional
import cv2
import numpy as np


class CropLayer:
    def __init__(self, params, blobs):
        self.xstart = self.xend = self.ystart = self.yend = 0

    def getMemoryShapes(self, inputs):
        source, target = inputs[0], inputs[1]
        height, width = min(source[2], target[2]), min(source[3], target[3])
        self.ystart = (source[2] - height) // 2
        self.xstart = (source[3] - width) // 2
        self.yend, self.xend = self.ystart + height, self.xstart + width
        return [[source[0], source[1], height, width]]

    def forward(self, inputs):
        return [inputs[0][:, :, self.ystart : self.yend, self.xstart : self.xend]]


cv2.dnn_registerLayer("Crop", CropLayer)
net = cv2.dnn.readNet("net.prototxt", "net.caffemodel")
frame = np.random.RandomState(4).randint(0, 256, (11, 14, 3)).astype(np.uint8)
results = []
for size in ((14, 11), (8, 8)):
    blob = cv2.dnn.blobFromImage(frame, 1 / 100, size, (104.0, 116.7, 122.7), swapRB=False, crop=False)
    net.setInput(blob)
    results.append(cv2.resize(net.forward()[0, 0], (frame.shape[1], frame.shape[0])))
result = np.stack(results)
cv2.dnn_unregisterLayer("Crop")
