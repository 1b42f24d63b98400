# Net: two stages
import cv2
import numpy as np

net = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
points = np.random.RandomState(2).rand(3, 3, 3, 3).astype(np.float32)
layer = net.getLayerId("stage1_L2")
net.getLayer(layer).blobs = [points, np.full([1, 3], 2.606, np.float32)]
scaled = np.random.RandomState(3).rand(12, 10, 3).astype(np.float32)
lightness = cv2.split(cv2.cvtColor(scaled, cv2.COLOR_BGR2LAB))[0]
net.setInput(cv2.dnn.blobFromImage(np.dstack([lightness - 50] * 3)))
ab = net.forward()[0].transpose((1, 2, 0))
result = cv2.resize(ab, (20, 24))
